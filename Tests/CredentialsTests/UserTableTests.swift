import Synchronization
import TestSupport
import Testing

@testable import Credentials

/// What a verification costs, and what it must not be taken in by.
@Suite struct UserTableTests {
    private static let users = Sample.read(
        "a:\(Sample.sha512)\nb:\(Sample.bcrypt)\nc:\(Sample.sha256)\nd:\(Sample.bcryptOfApache)\n"
    ).users

    /// The settings with which a verification hashes.
    private func calls(_ users: UserTable, _ name: [UInt8], _ password: [UInt8]) -> (
        isRight: Bool, calls: [(password: [UInt8], as: String)]
    ) {
        var calls: [(password: [UInt8], as: String)] = []
        let hasher = PasswordHasher()
        let isRight = users.verify(name: name, password: password) { password, setting in
            calls.append((password, String(decoding: setting, as: UTF8.self)))
            return hasher.hash(password, as: setting)
        }
        return (isRight, calls)
    }

    private let secret = Array("secret".utf8)

    @Test func unknownUsersCostWhatMostUsersCost() {
        let known = calls(Self.users, Array("b".utf8), secret)
        let wrong = calls(Self.users, Array("b".utf8), Array("wrong".utf8))
        let unknown = calls(Self.users, Array("nobody".utf8), secret)
        #expect(known.isRight && !wrong.isRight && !unknown.isRight)
        #expect(known.calls.map(\.as) == [Sample.bcrypt] && wrong.calls.map(\.as) == [Sample.bcrypt])
        // Even with the password of the user who stands in.
        #expect(unknown.calls.map(\.as) == [Sample.bcrypt] && unknown.calls[0].password == secret)
    }

    @Test func ofAsManyTheFirstStandsIn() {
        let users = Sample.read("c:\(Sample.sha256)\nb:\(Sample.bcrypt)").users
        #expect(calls(users, [1], secret).calls.map(\.as) == [Sample.sha256])
    }

    @Test func aNULNeverMatchesAndCostsTheSame() {
        for password in ["secret\0", "secret\0more", "\0", "\0secret", "s\0cret"].map({ Array($0.utf8) }) {
            let (isRight, calls) = calls(Self.users, Array("b".utf8), password)
            #expect(!isRight && calls.count == 1)
            #expect(calls[0].password.count == password.count && !calls[0].password.contains(0))
        }
        // Nor does the byte that stood in for it let anybody in by chance.
        let hash = PasswordHasher().hash([1], as: Array(Sample.bcrypt.utf8))!
        let users = Sample.read(Array("u:".utf8) + hash).users
        #expect(calls(users, Array("u".utf8), [1]).isRight && !calls(users, Array("u".utf8), [0]).isRight)
        let empty = Sample.read("u:\(Sample.ofNothing[1])").users
        #expect(calls(empty, Array("u".utf8), []).isRight && !calls(empty, Array("u".utf8), [0]).isRight)
    }

    @Test func lengthsHaveBounds() {
        let longest = [UInt8](repeating: 0x70, count: 255)
        for setting in [Sample.sha512, Sample.yescrypt, Sample.bcrypt] {
            let hash = PasswordHasher().hash(longest, as: Array(setting.utf8))!
            let users = Sample.read(longest + [UInt8(ascii: ":")] + hash).users
            #expect(calls(users, longest, longest).isRight)
            for (name, password) in [(longest, longest + [0x70]), (longest + [0x70], longest), ([], longest)] {
                let (isRight, calls) = calls(users, name, password)
                #expect(!isRight && calls.isEmpty)
            }
        }
    }

    @Test func anEmptyTableHashesNothing() {
        let (isRight, calls) = calls(Sample.read("").users, Array("a".utf8), [])
        #expect(!isRight && calls.isEmpty)
    }

    /// Memory is short, or the library does not know the kind.
    @Test func whatCannotBeHashedDoesNotMatch() {
        #expect(!Self.users.verify(name: Array("b".utf8), password: secret) { _, _ in nil })
        #expect(!Self.users.verify(name: Array("b".utf8), password: secret) { _, _ in [] })
        #expect(!Self.users.verify(name: Array("b".utf8), password: secret) { _, setting in Array(setting.dropLast()) })
        #expect(PasswordHasher().hash(secret, as: Array("$6$rounds=1$a$".utf8)) == nil)
        #expect(PasswordHasher().hash(secret, as: []) == nil)
    }

    @Test func printingItTellsNothing() { #expect("\(Self.users)" == "4 users") }

    @Test func threadsDoNotDisturbEachOther() async {
        await withTaskGroup(of: Int.self) { group in
            for number in 0..<8 {
                group.addTask {
                    let hasher = PasswordHasher()
                    let names = ["a", "b", "c", "d", "e"].map { Array($0.utf8) }
                    return (0..<40).count { turn in
                        let index = (turn + number) % 5
                        let isRight = turn % 2 == 0
                        let password = Array((isRight ? "secret" : "Secret").utf8)
                        return Self.users.verify(name: names[index], password: password, with: hasher) != (isRight && index < 4)
                    }
                }
            }
            for await errors in group { #expect(errors == 0) }
        }
    }
}

@Suite struct LoginDigestTests {
    private let key = LoginDigest.Key()

    private func digest(_ name: String, _ password: String, _ key: LoginDigest.Key? = nil) -> LoginDigest? {
        LoginDigest(name: Array(name.utf8), password: Array(password.utf8), under: key ?? self.key)
    }

    @Test func differentLoginsDiffer() {
        #expect(digest("ab", "c") != nil && digest("ab", "c") == digest("ab", "c"))
        let others = [digest("a", "bc"), digest("abc", ""), digest("", "abc"), digest("ab", "c\0"), digest("ab", "C")]
        #expect(Set(others + [digest("ab", "c")]).count == 6 && !others.contains(nil))
    }

    @Test func keysDiffer() { #expect(digest("a", "b", LoginDigest.Key()) != digest("a", "b")) }

    @Test func namesHaveABound() {
        #expect(digest(String(repeating: "a", count: 255), "") != nil && digest(String(repeating: "a", count: 256), "") == nil)
    }
}
