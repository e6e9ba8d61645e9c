public import Credentials
internal import Synchronization

/// The users of a listener, and who of them was let in lately, so that a busy client does not cost a call of crypt(3) for each of
/// its connections.
///
/// What is remembered belongs to the table: a reload that brings another table makes another `Users`, which remembers nothing, and what
/// is still being verified by the old one is remembered there, where nobody looks any more.
///
/// It remembers digests under a random key of its own, not passwords: a copy of the memory then holds no password in plain text,
/// nor anything that is of use without the key, and the key is in no file.
public final class Users: Sendable {
    /// Nanoseconds from the verification, however often it is used meanwhile.
    static let lifetime: UInt64 = 60_000_000_000
    /// Logins that are remembered at least; at most twice as many.
    static let mostRemembered = 4_096

    let table: UserTable
    private let key = LoginDigest.Key()
    /// Until when, in monotonic nanoseconds.
    private let accepted = Mutex(RecentlyUsed<LoginDigest, UInt64>(count: mostRemembered))

    public init(_ table: UserTable) { self.table = table }

    /// Whether there is a user of this name, whose password has not changed since.
    func hasSame(_ name: String, as before: Users) -> Bool { table.hasSame(name, as: before.table) }

    /// - Returns: nil as ``LoginDigest/init(name:password:under:)``.
    func digest(_ name: [UInt8], _ password: [UInt8]) -> LoginDigest? { LoginDigest(name: name, password: password, under: key) }

    func isAccepted(_ digest: LoginDigest, now: UInt64) -> Bool {
        accepted.withLock { accepted in
            guard let until = accepted[digest] else { return false }
            if until > now { return true }
            accepted[digest] = nil
            return false
        }
    }

    func accept(_ digest: LoginDigest, now: UInt64) {
        accepted.withLock { $0[digest] = now &+ Self.lifetime }
    }
}
