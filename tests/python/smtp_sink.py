"""A mail server that does as it is told: it takes mail, refuses, defers, or dies.

    smtp_sink.py FOLDER PORT [--login USER PASSWORD] [--tls CERTIFICATE KEY (tls|starttls)]

Every mail that it took is a line of FOLDER/mails.jsonl, written to the disk before the answer. FOLDER/answers.json says
how it answers, read anew for each mail: {"bob@example.org": {"rcpt": ["451 later", "550 no"], "data": ["die"]}}. Of a
list the first is for the first attempt and so on; after the last it takes the mail, unless that is "always". "die" ends
the server before the mail is stored, "die-after" when it is stored and not answered. "*" is for everybody.
"""

import argparse
import asyncio
import email
import email.policy
import json
import os
import socket
import ssl

from aiosmtpd.smtp import SMTP, AuthResult


class Sink:
    def __init__(self, folder):
        self.folder = folder
        self.asked = {}

    def answer(self, address, step):
        try:
            with open(os.path.join(self.folder, "answers.json")) as f:
                answers = json.load(f)
        except FileNotFoundError:
            return None
        for who in (address, "*"):
            listed = answers.get(who, {}).get(step)
            if listed is None:
                continue
            # How often it was asked is kept on the disk, for the server may die.
            name = os.path.join(self.folder, f"asked-{step}-{who.replace('*', 'all')}")
            asked = int(open(name).read()) if os.path.exists(name) else 0
            with open(name + ".new", "w") as f:
                f.write(str(asked + 1))
            os.replace(name + ".new", name)
            if asked < len(listed) and listed[asked] != "always":
                return listed[asked]
            if listed[-1] == "always":
                return listed[-2]
        return None

    async def handle_MAIL(self, server, session, envelope, address, options):
        said = self.answer("*", "mail")
        if said:
            return said
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        said = self.answer(address, "rcpt")
        if said:
            return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        said = self.answer(envelope.rcpt_tos[0], "data")
        if said == "die":
            os._exit(1)
        if said and said != "die-after":
            return said
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        part = lambda kind: (mail.get_body((kind,)) or mail).get_content()
        line = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "headers": [[k, str(v)] for k, v in mail.items()],
            "text": part("plain"),
            "html": part("html") if mail.is_multipart() else "",
            "raw": envelope.content.decode("ascii"),
        }
        with open(os.path.join(self.folder, "mails.jsonl"), "a") as f:
            f.write(json.dumps(line) + "\n")
            f.flush()
            os.fsync(f.fileno())
        if said == "die-after":
            os._exit(1)
        return "250 OK"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("port", type=int)
    parser.add_argument("--login", nargs=2)
    parser.add_argument("--tls", nargs=3)
    args = parser.parse_args()
    options, smtp = {}, {}
    if args.login:
        def login(server, session, envelope, mechanism, data):
            given = (data.login.decode(), data.password.decode())
            # As some servers do, it repeats what it was sent.
            if given != tuple(args.login):
                return AuthResult(success=False, handled=False, message=f"535 5.7.8 wrong: {' '.join(given)}")
            return AuthResult(success=True)
        smtp.update(authenticator=login, auth_required=True, auth_require_tls=False)
    if args.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.tls[0], args.tls[1])
        if args.tls[2] == "tls":
            options.update(ssl_context=context)
        else:
            smtp.update(tls_context=context, require_starttls=True)

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", args.port))
    listening.listen(128)

    # A line that was cut off when the server was killed was not answered for.
    mails = os.path.join(args.folder, "mails.jsonl")
    if os.path.exists(mails) and not open(mails, "rb").read().endswith(b"\n"):
        with open(mails, "a") as f:
            f.write("\n")

    async def serve():
        loop = asyncio.get_running_loop()
        handler = Sink(args.folder)
        make = lambda: SMTP(handler, hostname="sink.test", ident="sink", enable_SMTPUTF8=True, loop=loop, **smtp)
        server = await loop.create_server(make, sock=listening, ssl=options.get("ssl_context"))
        print(listening.getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(serve())


main()
