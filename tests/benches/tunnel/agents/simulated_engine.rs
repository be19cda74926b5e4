//! A simulated engine: it speaks HTTP on a Unix socket as Docker does, and has
//! nothing behind it. One path answers with 64 KiB, another without end.

use std::convert::Infallible;
use std::path::Path;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;
use tokio::task::JoinSet;

/// Bytes of an answer that ends.
pub const ANSWER: usize = 64 * 1024;
/// The path that is answered with as many.
pub const ANSWER_PATH: &str = "/v1.41/info";
/// The path whose answer does not end.
pub const POUR_PATH: &str = "/v1.41/images/endless/get";

/// Listens at `socket`.
pub fn listen(socket: &Path) -> UnixListener {
    UnixListener::bind(socket).expect("the folder is ours")
}

/// Answers whoever comes until it is dropped.
pub async fn serve(listener: UnixListener) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("the socket stands");
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        // Whoever hangs up in the middle does so on purpose.
        connections.spawn(async move { connection.await.unwrap_or_default() });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    let block = Bytes::from(vec![7; ANSWER]);
    let body = if request.uri().path() == POUR_PATH {
        StreamBody::new(stream::repeat(block).map(|block| Ok(Frame::data(block)))).boxed_unsync()
    } else {
        Full::new(block).boxed_unsync()
    };
    Ok(Response::new(body))
}
