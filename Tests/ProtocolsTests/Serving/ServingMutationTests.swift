import Protocols
import TestSupport
import Testing

/// Ten thousand changes of each handshake: none traps, none waits for more than may come, and the pieces never matter.
@Suite struct ServingMutationTests {
    private static let closed = SOCKSServer(wantsCredentials: true)
    private static let open = SOCKSServer(wantsCredentials: false)
    private static let asked: [UInt8] = [5, 1, 0, 3, 9] + Array("a.example".utf8) + [1, 187]
    private static let secret: [UInt8] = [1, 2, 109, 101, 6] + Array("secret".utf8)

    private func mutate<Server: ServingHandshake>(_ seed: [UInt8], _ server: Server, _ number: UInt64) {
        var random = SplitMix(number)
        var rejected = 0
        for _ in 0..<10_000 {
            var bytes = seed
            random.mutate(&bytes)
            let whole = Served(server, bytes)
            let pieces = Served(server, bytes, chunk: 1 + random.below(9))
            guard pieces.end == whole.end, pieces.sent == whole.sent, pieces.credentials == whole.credentials else {
                Issue.record("\(bytes): \(pieces), at once \(whole)")
                return
            }
            switch whole.end {
            case .needsMore: #expect(whole.left.count < Server.longestPart)
            case .request(let request): #expect(request.command != .connect || request.target.port > 0)
            case .reject: rejected += 1
            case .send, .authenticate: Issue.record("\(bytes): no end")
            }
        }
        #expect((1..<10_000).contains(rejected))
    }

    @Test(arguments: [
        [5, 1, 0] + asked, [5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 1, 1, 187],
        [5, 2, 0, 2, 5, 3, 0, 4] + [UInt8](repeating: 1, count: 18),
        [5, 1, 2] + secret + asked, [4, 1, 1, 187, 192, 0, 2, 1, 109, 101, 0],
        [4, 1, 1, 187, 0, 0, 0, 1, 109, 0, 97, 46, 98, 0, 9, 9],
    ])
    func socks(_ seed: [UInt8]) { mutate(seed, Self.open, 11) }

    @Test func socksWithCredentials() { mutate([5, 2, 0, 2] + Self.secret + Self.asked, Self.closed, 12) }

    @Test(arguments: [
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\nX: y\r\n\r\nrest", "CONNECT [2001:db8::1]:443 HTTP/1.0\r\n\r\n",
        "GET http://a.example/ HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n",
    ])
    func connect(_ seed: String) { mutate(Array(seed.utf8), ConnectServer(realm: nil), 13) }

    @Test func connectWithCredentials() {
        let seed = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"
        mutate(Array(seed.utf8), ConnectServer(realm: "clearway"), 14)
    }
}
