import Protocols
import Testing

/// How far a client came, as logs and metrics have it.
@Suite struct SOCKSProgressTests {
    private func progress(_ bytes: [UInt8], wantsCredentials: Bool = false, accepts: Bool = true) -> SOCKSProgress {
        var found: Set<SOCKSProgress> = []
        for chunk in [1, 3, 1_000] {
            var server = SOCKSServer(wantsCredentials: wantsCredentials)
            var rest = bytes[...]
            var buffer: [UInt8] = []
            feeding: while !rest.isEmpty {
                buffer += rest.prefix(chunk)
                rest = rest.dropFirst(chunk)
                while true {
                    var (length, step) = server.advance(buffer.span)
                    buffer.removeFirst(length)
                    if case .authenticate = step { step = server.judge(accepted: accepts) }
                    switch step {
                    case .needsMore where length == 0: continue feeding
                    case .needsMore, .send, .authenticate: continue
                    case .request, .reject: break feeding
                    }
                }
            }
            found.insert(server.progress)
        }
        #expect(found.count == 1, "the pieces matter: \(found)")
        return found.first!
    }

    @Test(
        arguments: [
            ([], .preamble), ([0x16, 3, 1], .foreign), ([5], .methods), ([5, 2, 0], .methods), ([5, 1, 1], .noMethod),
            ([5, 1, 2, 1, 1], .credentials), ([5, 1, 2, 5], .credentialsVersion), ([5, 1, 2, 1, 0], .credentialsRefused),
            ([5, 1, 0, 5], .request), ([5, 1, 0, 5, 1, 0, 1, 10, 0], .request), ([5, 1, 0, 4], .requestVersion),
            ([5, 1, 0, 5, 9], .command), ([5, 1, 0, 5, 1, 0, 9], .addressType), ([5, 1, 0, 5, 1, 0, 3, 0], .target),
            ([5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 0], .target), ([5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 80], .whole),
            ([4], .request), ([4, 1, 0, 80, 10, 0], .request), ([4, 3], .command), ([4, 1, 0, 80, 0, 0, 0, 1, 0, 32, 0], .target),
            ([4, 1, 0, 80, 10, 0, 0, 1, 0], .whole),
        ] as [([UInt8], SOCKSProgress.Stage)])
    func stages(_ bytes: [UInt8], _ stage: SOCKSProgress.Stage) {
        let found = progress(bytes)
        #expect(found.stage == stage)
        #expect(found.version == (bytes.first == 5 ? .five : bytes.first == 4 ? .four : nil))
    }

    @Test func methods() {
        #expect(progress([5, 1, 0]).method == SOCKSProgress.Method.none)
        #expect(progress([5, 1, 2]).method == .password)
        #expect(progress([5, 1]).method == nil && progress([5, 1, 1]).method == nil && progress([4, 1]).method == nil)
        let bad = progress([5, 1, 2, 1, 1, 97, 1, 98], wantsCredentials: true, accepts: false)
        #expect(bad.method == .password && bad.stage == .credentialsRefused)
    }

    @Test(
        arguments: [
            ([1], .ipv4), ([3, 1], .name), ([4, 0], .ipv6), ([2], .unknown), ([], nil),
        ] as [([UInt8], SOCKSProgress.AddressType?)])
    func addressTypes(_ bytes: [UInt8], _ type: SOCKSProgress.AddressType?) {
        #expect(progress([5, 1, 0, 5, 1, 0] + bytes).addressType == type)
    }
}
