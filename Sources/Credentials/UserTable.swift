internal import COpenSSL

/// Who may come in, and by what. ``UserFile`` makes it.
public struct UserTable: Sendable, Equatable {
    /// Bytes. RFC 1929 has a single one for either length, and longer passwords in HTTP would only cost more to hash.
    public static let longestName = 255
    public static let longestPassword = 255

    private let users: [[UInt8]: PasswordHash]
    /// Whom to verify when there is no such user: the first of those whose hashes cost what most cost.
    private let standIn: PasswordHash?

    public static func == (one: UserTable, other: UserTable) -> Bool { one.users == other.users }

    public var count: Int { users.count }

    /// - Parameter users: in the order of the file; no name twice.
    init(_ users: [(name: [UInt8], hash: PasswordHash)]) {
        self.users = Dictionary(uniqueKeysWithValues: users.map { ($0.name, $0.hash) })
        var counts: [PasswordHash.Cost: Int] = [:]
        for user in users { counts[user.hash.cost, default: 0] += 1 }
        let most = counts.values.max()
        standIn = users.first { counts[$0.hash.cost] == most }?.hash
    }

    /// Whether a user could have this name and this password. It tells nothing about those who are there.
    public static func canHold(name: [UInt8], password: [UInt8]) -> Bool {
        (1...longestName).contains(name.count) && password.count <= longestPassword
    }

    /// Whether there is such a user. For whoever can read the table's file, and for nobody else: no password is asked for.
    public func has(_ name: String) -> Bool { users[Array(name.utf8)] != nil }

    /// Whether there is such a user in both, with the same stored hash.
    public func hasSame(_ name: String, as other: UserTable) -> Bool {
        guard let hash = users[Array(name.utf8)] else { return false }
        return hash == other.users[Array(name.utf8)]
    }

    /// Whether the user exists and has this password. Takes as long for a user who does not exist as for most who do.
    ///
    /// Blocks for the time of one call of crypt(3): never to be called by a loop.
    public func verify(name: [UInt8], password: [UInt8], with hasher: PasswordHasher) -> Bool {
        verify(name: name, password: password) { hasher.hash($0, as: $1) }
    }

    /// - Parameter hash: crypt(3), or what counts its calls.
    func verify(name: [UInt8], password: [UInt8], _ hash: (_ password: [UInt8], _ setting: [UInt8]) -> [UInt8]?) -> Bool {
        guard Self.canHold(name: name, password: password) else { return false }
        let user = users[name]
        // Of a table without users there is nothing to be found out.
        guard let expected = user ?? standIn else { return false }
        // crypt(3) ends at a NUL, so that `secret\0anything` would pass for `secret`. Another byte in its place costs the same time.
        let canMatch = user != nil && !password.contains(0)
        guard let actual = hash(password.map { max($0, 1) }, expected.text) else { return false }
        return Self.areEqual(actual, expected.text) && canMatch
    }

    /// In a time that depends on the length alone, which is no secret.
    private static func areEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        one.count == other.count && CRYPTO_memcmp(one, other, one.count) == 0
    }
}

extension UserTable: CustomStringConvertible {
    /// Nothing of what it holds: a log must not come by hashes because somebody prints a setting.
    public var description: String { "\(count) user\(count == 1 ? "" : "s")" }
}
