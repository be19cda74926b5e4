//! How many sessions live, for the hub's metrics.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use windflow_protocol::transport::TransportKind;

use super::Registry;

impl Collector for Registry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let sessions = self.all();
        let mut metric = encoder.encode_descriptor("sessions", "Live sessions", None, MetricType::Gauge)?;
        for kind in TransportKind::ALL {
            let count = sessions.iter().filter(|session| session.transport() == kind).count();
            let labels = [("transport", kind.as_str())];
            ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX)).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
