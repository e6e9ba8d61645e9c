import Foundation
import Testing

extension Situations {
    /// What a server of ours does not get from clients, wherever in a message they put it.
    @Suite struct HTTPOriginFields {
        private static let server = Family.v4.server
        private static let credentials = "Proxy-Authorization: Basic c2VjcmV0\r\n"

        private static func configuration(_ more: String) -> ClearwayConfiguration {
            var configuration = ClearwayConfiguration()
            configuration.workers = 1
            configuration.listeners = []
            configuration.policy = ClearwayConfiguration.servedListener(
                "http", name: "site", port: 80, reach: nil, clients: ["192.0.2.0/24"],
                more: """
                    origin = "http://\(server):8081"
                    via = false
                    request_headers = { remove = ["Forwarded"] }
                    \(more)
                    """)
            return configuration
        }

        /// Not even one that is believed puts the fields of proxies behind a body.
        @Test(arguments: ["", "trusted = [\"192.0.2.0/24\"]"])
        func nothingOfProxiesPasses(more: String) throws {
            try play(Variant(), configuration: Self.configuration(more)) { stage in
                let listener = try stage.server.listen(Self.server, port: 8081)
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 80).socket
                let framing = "Transfer-Encoding: chunked\r\n\r\n"
                let trailers =
                    "0\r\nX-Forwarded-Port: 444\r\nX_Forwarded_For: 203.0.113.7\r\nX-FORWARDED-User: root\r\nForwarded: for=x\r\nX-T: 1\r\n\r\n"
                try stage.client.send(client, "POST /x HTTP/1.1\r\nHost: a\r\n\(Self.credentials)\(framing)\(trailers)")
                let socket = try stage.server.accept(listener).socket
                let seen = "POST /x HTTP/1.1\r\nHost: a\r\n\(framing)0\r\nX-T: 1\r\n\r\n"
                #expect(try stage.server.receive(socket, seen.utf8.count) == seen)
            }
        }

        /// Between a client and another proxy on its way they have a meaning.
        @Test func credentialsForAnotherProxyPass() throws {
            try play(Variant(), configuration: InterceptedHTTP.configuration(Variant())) { stage in
                let request = "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\(Self.credentials)\r\n"
                let seen = "GET / HTTP/1.1\r\nHost: a.example\r\n\(Self.credentials)\r\n"
                try MessageExchange(stage).ask(request, seen: seen)
            }
        }
    }
}
