import Foundation
import Testing

extension Situations {
    /// FTP in passive mode joins two connections by the client's address. vsftpd refuses the second one from anywhere else.
    @Suite struct PassiveFTP {
        private static let clients = 12

        /// Starts the server; what it has is one page.
        private func startServer(_ stage: Stage) throws {
            let scratch = stage.topology.scratch
            chmod(scratch.path, 0o755)
            try FileManager.default.createDirectory(
                atPath: scratch.file("ftp"), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
            try scratch.write("the page\n", to: "ftp/page", mode: 0o644)
            // Without the walls around its processes, which need what a container may not have.
            let file = try scratch.write(
                """
                listen=NO
                listen_ipv6=YES
                background=NO
                anonymous_enable=YES
                anon_root=\(scratch.file("ftp"))
                secure_chroot_dir=\(scratch.file("ftp"))
                xferlog_enable=NO
                isolate=NO
                isolate_network=NO
                seccomp_sandbox=NO

                """, to: "vsftpd.conf")
            _ = try stage.topology.server.start(["vsftpd", file])
            try stage.topology.server.waitUntilListening(on: 21)
        }

        /// A session whose data connection has another source than its control connection.
        private static let torn = """
            import ftplib, socket, sys
            host, control, data = sys.argv[1:]
            for command in ("PASV", "EPSV") if "." in host else ("EPSV",):
                with ftplib.FTP() as ftp:
                    ftp.connect(host, 21, 10, source_address=(control, 0))
                    ftp.login()
                    said = ftp.sendcmd(command)
                    port = ftplib.parse227(said)[1] if command == "PASV" else ftplib.parse229(said, ftp.sock.getpeername())[1]
                    with socket.create_connection((host, port), 10, (data, 0)):
                        try:
                            print(command, ftp.sendcmd("RETR page"))
                        except ftplib.Error as error:
                            print(command, error)
            """

        /// Clients of both families, commands of both kinds: none of them has its connections torn apart.
        @Test func bothConnectionsHaveOneSource() throws {
            try play(Variant(), start: false) { stage in
                try stage.addSources(clients: Self.clients)
                try startServer(stage)
                // It is as strict as it is said to be.
                for family in Family.allCases {
                    let said = try stage.topology.router.require(
                        ["/usr/bin/python3", "-c", Self.torn, family.server, family.source(11), family.source(12)])
                    let expected = (family == .v4 ? ["PASV", "EPSV"] : ["EPSV"]).map { "\($0) 425 Security: Bad IP connecting.\n" }
                    #expect(said == expected.joined())
                }
                let sources = Family.allCases.flatMap { [$0.source(11), $0.source(12)] }
                let clearway = try stage.startClearway(.serving(policy: Exit.toml(source: sources)))
                let forms = Family.allCases.flatMap { proxy in
                    ["--socks5", "--proxy socks5h://"].flatMap { way -> [(Family, String)] in
                        let proxied = way + (way.hasSuffix("//") ? "" : " ") + proxy.servedURL
                        return [
                            (proxy, "\(proxied) --disable-epsv ftp://\(Family.v4.server)/page"),
                            (proxy, "\(proxied) ftp://\(Family.v4.server)/page"),
                            (proxy, "\(proxied) ftp://\(Family.v6.serverHost)/page"),
                        ]
                    }
                }
                // All together, each with a line about how it went.
                let lines = forms.flatMap { family, form in
                    stride(from: 0, to: Self.clients, by: 3).map { number in
                        let client = family.neighbour(number)
                        return
                            "(page=$(curl -sS -g --max-time 15 --interface \(client) \(form) 2>&1); echo \"\(client) \(form): $page\") &\n"
                    }
                }
                let script = try stage.topology.scratch.write(lines.joined() + "wait\n", to: "curls.sh")
                let said = try stage.topology.client.require(["sh", script]).split(separator: "\n")
                #expect(said.count == lines.count)
                for line in said { #expect(line.hasSuffix(": the page"), "\(line)") }

                // Two connections each, and each pair by one address; all of them were in use.
                let records = try clearway.waitForSessions(2 * lines.count)
                #expect(records.count == 2 * lines.count)
                func host(_ endpoint: String) -> String { String(endpoint[..<endpoint.lastIndex(of: ":")!]) }
                var used: [String: Set<String>] = [:]
                for record in records {
                    used["\(host(record.string("client"))) \(host(record.string("destination")))", default: []]
                        .insert(host(record.string("local")))
                }
                #expect(used.values.allSatisfy { $0.count == 1 }, "\(used)")
                #expect(Set(used.values.joined()).count == sources.count)
            }
        }
    }
}
