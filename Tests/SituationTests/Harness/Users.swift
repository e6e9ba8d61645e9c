import Foundation
import Testing

/// The users of these tests.
enum Users {
    static let longName = String(repeating: "u", count: 255)
    static let longPassword = String(repeating: "p", count: 255)

    /// alice, `secret`; bob, `hunter2`; and one with the longest name and password that there can be. Hashes as `openssl passwd -6` and
    /// `mkpasswd` make them.
    static let file = """
        # name:hash
        alice:\(secret)
        bob:$y$j9T$cnywvklXNNJfF1L4hcooX0$o.5ySveJZd3irP1hAirozm8/g6AKlzR9p25uTTlBQT0

        \(longName):$6$clearway$xzxNO5mCtL1SyI2Mjm8oqtQY6JwzXnb/jpGSXXmtDeC8AJEgLxnrwNk4obNhw85WmAIcrNE77cuBFPuHs4yW1.

        """

    /// The hash of `secret`.
    static let secret =
        "$6$clearway$pi7Ylf.P1Ywi.0M1YDsxdf2dE29H1d8m5UUvzpofrhVJpalxZPAacQx2MtTtoeKYYS6N2PwEb9oBW/PeT.4Qo."
}

extension ClearwayConfiguration {
    /// One listener for SOCKS and HTTP that serves users alone, to any port. Of the clients' side it serves every /64.
    ///
    /// - Parameter users: the path of their file.
    static func servingUsers(_ users: String, policy: String = "") -> ClearwayConfiguration {
        var configuration = ClearwayConfiguration()
        configuration.listeners = []
        configuration.policy =
            servedListener(
                "socks+http", clients: ["192.0.2.0/24", "2001:db8:1::/48"], more: "users = \"\(users)\"\nports = \"1-65535\"")
            + policy
        return configuration
    }
}

extension Says {
    static let greetingWithPassword = bytes("05 01 02")

    /// RFC 1929.
    static func login(_ user: String, _ password: String) -> [UInt8] {
        [1, UInt8(user.utf8.count)] + Array(user.utf8) + [UInt8(password.utf8.count)] + Array(password.utf8)
    }

    static func authorization(_ text: String, scheme: String = "Basic") -> String {
        "Proxy-Authorization: \(scheme) \(Data(text.utf8).base64EncodedString())"
    }
}

extension Stage {
    func writeUsers(_ text: String = Users.file) throws -> String { try topology.scratch.write(text, to: "users") }

    /// Further addresses of the client host, IPv6 ones each in a /64 of its own: for whoever counts failures, each is somebody else.
    func addStrangers(_ count: Int) throws {
        try topology.client.ip(
            (0..<count).map {
                "address add \(Family.v4.stranger($0))/24 dev eth0\naddress add \(Family.v6.stranger($0))/64 dev eth0 nodad\n"
            }.joined())
        try topology.router.ip("route add 2001:db8:1::/48 dev lan")
    }
}

extension Family {
    func stranger(_ number: Int) -> String { self == .v4 ? "192.0.2.\(100 + number)" : "2001:db8:1:\(100 + number)::2" }
}
