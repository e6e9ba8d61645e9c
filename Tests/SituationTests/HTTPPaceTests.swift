import Foundation
import Testing

extension PatientSituations {
    /// Clients of HTTP that keep a connection by doing nearly nothing.
    @Suite struct HTTPPace {
        private static let head = "HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n"

        /// One sends its body a byte at a time, and one does not take what it has asked for. Both are ended; who waits for its server is not.
        @Test func slowBodiesEnd() throws {
            let variant = Variant()
            var configuration = Situations.InterceptedHTTP.configuration(variant)
            configuration.timeouts = "handshake = \"2s\""
            try play(variant, configuration: configuration) { stage in
                let (host, listener) = (variant.family.server, try stage.server.listen(variant.family.server))
                let port = listener.int("port")
                func begin(_ request: String, receiveBuffer: Int = 0) throws -> (client: Int, server: Int) {
                    let client = try stage.client.connect(host, port, ["receive_buffer": receiveBuffer]).socket
                    try stage.client.send(client, request)
                    let server = try stage.server.accept(listener).socket
                    #expect(try stage.server.receive(server, request.utf8.count) == request)
                    return (client, server)
                }
                let sender = try begin("POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
                let reader = try begin("GET /r HTTP/1.1\r\nHost: a\r\n\r\n", receiveBuffer: 4_096)
                let waiter = try begin("GET /w HTTP/1.1\r\nHost: a\r\n\r\n")
                let asker = try begin("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
                try stage.server.send(reader.server, Self.head)
                _ = try stage.server.begin("pour", ["socket": reader.server, "bytes": 8_000_000])
                let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                try stage.server.send(waiter.server, chunks)
                #expect(try stage.client.receive(waiter.client, chunks.utf8.count) == chunks)

                let begun = now()
                while try stage.clearway.records("request").count < 2 {
                    guard now() - begun < 80 else { throw SituationError("still there: \(try stage.clearway.log)") }
                    try? stage.client.send(sender.client, "x")
                    try stage.server.send(waiter.server, "1\r\nx\r\n")
                    #expect(try stage.client.receive(waiter.client, 6) == "1\r\nx\r\n")
                    Thread.sleep(forTimeInterval: 2)
                }
                let records = try stage.clearway.waitForRequests(2)
                #expect(Set(records.map { $0.string("target") }) == ["/s", "/r"])
                #expect(records.allSatisfy { $0.ending == "client-slow" })
                #expect(now() - begun > 25)
                #expect(try stage.client.receiveUntil(sender.client, "\r\n").hasPrefix("HTTP/1.1 408 "))
                #expect(try stage.server.drain(sender.server).end == "ECONNRESET")

                try stage.server.send(asker.server, "HTTP/1.1 100 Continue\r\n\r\n")
                #expect(try stage.client.receiveUntil(asker.client, "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
                try stage.client.send(asker.client, "body")
                #expect(try stage.server.receive(asker.server, 4) == "body")
                try stage.server.send(waiter.server, "0\r\n\r\n")
                #expect(try stage.client.receive(waiter.client, 5) == "0\r\n\r\n")
            }
        }

        /// The client has ended its side, and the server says nothing: nobody waits for ever.
        @Test func anAnswerThatNobodyMayWantAnyMore() throws {
            var configuration = Situations.InterceptedHTTP.configuration(Variant())
            configuration.timeouts = "half_close = \"1s\""
            try play(Variant(), configuration: configuration) { stage in
                let exchange = try MessageExchange(stage)
                let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                try exchange.ask(request, seen: request)
                try stage.client.shut(exchange.client)
                let begun = now()
                #expect(try stage.client.receiveUntil(exchange.client, "\r\n").hasPrefix("HTTP/1.1 504 "))
                #expect(now() - begun < 5)
                #expect(try stage.server.drain(exchange.server).end == "ECONNRESET")
                #expect(try stage.clearway.waitForRequests(1)[0].ending == "proxy-half-close")
            }
        }
    }
}
