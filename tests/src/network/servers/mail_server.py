"""A mail server for the tests: aiosmtpd, which insists on TLS and on a sign-in,
and writes each mail that it takes into a folder as one JSON file."""

import asyncio
import email
import email.policy
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Keeper:
    def __init__(self, folder):
        self.folder = folder

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {kind: mail.get_body(preferencelist=(kind,)) for kind in ("plain", "html")}
        kept = {
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "signed_in": bool(session.authenticated),
            "headers": [[name, str(value)] for name, value in mail.items()],
            "subject": str(mail["subject"]),
            "id": str(mail["message-id"]),
            "text": parts["plain"].get_content() if parts["plain"] else "",
            "html": parts["html"].get_content() if parts["html"] else "",
        }
        path = os.path.join(self.folder, f"{len(os.listdir(self.folder)):06}")
        with open(path + ".part", "w", encoding="utf-8") as file:
            json.dump(kept, file)
        os.rename(path + ".part", path + ".json")
        return "250 taken"


def main():
    folder, port, security, certificate, key, user, password = sys.argv[1:]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    begins_with_tls = security == "tls"
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def authenticate(server, session, envelope, mechanism, data):
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (user.encode(), password.encode())
        return AuthResult(success=known, handled=False)

    def serve():
        return SMTP(
            Keeper(folder),
            hostname="mail.example",
            loop=loop,
            tls_context=None if begins_with_tls else context,
            require_starttls=not begins_with_tls,
            authenticator=authenticate,
            auth_required=True,
            auth_require_tls=not begins_with_tls,
        )

    inside = context if begins_with_tls else None
    loop.run_until_complete(loop.create_server(serve, "127.0.0.1", int(port), ssl=inside))
    loop.run_forever()


main()
