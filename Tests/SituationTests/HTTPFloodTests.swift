import Foundation
import Testing

extension Situations {
    /// Requests as fast as they can be said.
    @Suite struct HTTPFlood {
        /// Asks for what is forbidden, in a row without end, and reads what it gets.
        private static let flood = #"""
            import socket, sys, threading
            sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
            requests = b"GET / HTTP/1.1\r\nHost: blocked.example\r\n\r\n" * 4000
            def read():
                while sock.recv(1 << 20): pass
            threading.Thread(target=read, daemon=True).start()
            while True: sock.sendall(requests)
            """#

        /// Requests that we answer ourselves wait for no server: one client with many of them must leave time for others.
        @Test func answersOfOursWithoutEnd() throws {
            let policy = "[[rule]]\ndomain = \"blocked.example\"\naction = \"reject\""
            let variant = Variant()
            try play(variant, configuration: InterceptedHTTP.configuration(variant, policy: policy)) { stage in
                let (host, port) = (variant.family.server, try stage.server.listen(variant.family.server).int("port"))
                let flood = try stage.topology.client.start(["python3", "-c", Self.flood, host, "\(port)"])
                defer { flood.end() }
                Thread.sleep(forTimeInterval: 1)
                for _ in 1...3 {
                    let begun = ContinuousClock.now
                    let other = try stage.client.connect(host, port).socket
                    try stage.client.send(other, "GET / HTTP/1.1\r\nHost: blocked.example\r\n\r\n")
                    #expect(try stage.client.receive(other, 12) == "HTTP/1.1 403")
                    #expect(ContinuousClock.now - begun < .seconds(1))
                    try stage.client.close(other)
                }
            }
        }
    }
}
