import Foundation
import TestSupport
import Testing

extension PatientSituations {
    /// Health checks of proxies that speak TLS.
    @Suite struct SecureChecks {
        enum Fault: CaseIterable {
            case expired, foreignAuthority, foreignAddress

            var reason: String {
                switch self {
                case .expired: "its certificate is not accepted: certificate has expired"
                case .foreignAuthority: "its certificate is not accepted: unable to get local issuer certificate"
                case .foreignAddress: "its certificate is not accepted: IP address mismatch"
                }
            }
        }

        @Test(arguments: Fault.allCases)
        func aCertificateThatIsNotAccepted(fault: Fault) throws {
            try play(Variant(), start: false) { stage in
                let authority = try stage.certificates.authority()
                let good = try stage.certificates.server(names: "IP:\(Family.v4.server)", by: authority)
                let bad =
                    switch fault {
                    case .expired: try stage.certificates.expired("bad", like: good, by: authority)
                    case .foreignAuthority:
                        try stage.certificates.server(
                            "bad", names: "IP:\(Family.v4.server)", by: stage.certificates.authority("foreign"))
                    case .foreignAddress: try stage.certificates.server("bad", names: "IP:\(Family.v4.client)", by: authority)
                    }
                _ = try stage.tinyproxy(1090)
                let first = try stage.startTLS(port: 1091, to: 1090, with: bad)
                _ = try stage.startTLS(port: 1092, to: 1090, with: good)
                try Self.start(stage, [1091, 1092], authority)

                try stage.wait("upstream check failed", Self.member(1091))
                #expect(try stage.said("upstream check failed", of: Self.member(1091))[0].contains(fault.reason))
                let port = try stage.echo()
                try stage.roundTrip(port)
                #expect(try stage.clearway.waitForSessions(1)[0].string("member") == Self.member(1092))

                first.end()
                _ = try stage.startTLS(port: 1091, to: 1090, with: good)
                try stage.wait("upstream works again", Self.member(1091))
                try stage.roundTrip(port)
                #expect(try stage.clearway.waitForSessions(2)[1].string("member") == Self.member(1091))
                #expect(try stage.said("upstream check failed", of: Self.member(1092)).isEmpty)
                // No session had to find out.
                #expect(try !stage.clearway.log.contains("left out"))
            }
        }

        @Test func aMemberThatDies() throws {
            try play(Variant(), start: false) { stage in
                let authority = try stage.certificates.authority()
                let certificate = try stage.certificates.server(names: "IP:\(Family.v4.server)", by: authority)
                let behind = try stage.tinyproxy(1090)
                let first = try stage.startTLS(port: 1091, to: 1090, with: certificate)
                try Self.start(stage, [1091], authority)
                // TLS is spoken, and then nobody is there.
                behind.end()
                try stage.wait("upstream check failed", Self.member(1091))
                _ = try stage.tinyproxy(1090)
                try stage.wait("upstream works again", Self.member(1091))
                first.end()
                try stage.wait("upstream check failed", Self.member(1091), count: 2)
                #expect(try stage.said("upstream check failed", of: Self.member(1091))[1].contains("refused"))
                _ = try stage.startTLS(port: 1091, to: 1090, with: certificate)
                try stage.wait("upstream works again", Self.member(1091), count: 2)
            }
        }

        /// They take connections; the one says nothing, the other something else.
        @Test func noTLSIsSpokenThere() throws {
            try play(Variant(), start: false) { stage in
                let authority = try stage.certificates.authority()
                let silent = try stage.server.listen(Family.v4.server, port: 1091)
                _ = try stage.microsocks(1092)
                try Self.start(stage, [1091, 1092], authority, "send_proxy = true")
                let check = try stage.server.accept(silent).socket
                let header = "\r\n\r\n\0\r\nQUIT\n\u{20}\0\0\0"
                // Its own connection, without addresses; and behind it a TLS record of the handshake.
                #expect(try stage.server.receive(check, 18) == header + "\u{16}\u{3}")
                try stage.wait("upstream check failed", Self.member(1091))
                #expect(try stage.said("upstream check failed", of: Self.member(1091))[0].contains("no answer"))
                try stage.wait("upstream check failed", Self.member(1092))
                #expect(try stage.said("upstream check failed", of: Self.member(1092))[0].contains("TLS handshake"))
            }
        }

        private static func member(_ port: Int) -> String { "https://198.51.100.2:\(port)" }

        private static func start(_ stage: Stage, _ ports: [Int], _ authority: Certificates.Certificate, _ more: String = "") throws
        {
            var configuration = ClearwayConfiguration(Variant())
            configuration.policy = """
                [[upstream]]
                name = "out"
                urls = [\(ports.map { "\"\(member($0))?ca=\(authority.file)\"" }.joined(separator: ", "))]
                check = "500ms"
                \(more)
                [[rule]]
                action = "out"
                """
            try stage.startClearway(configuration)
        }
    }
}
