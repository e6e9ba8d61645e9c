import TestSupport
import Testing

@testable import Credentials

/// Files of users, good and bad.
@Suite struct UserFileTests {
    private func accepts(_ users: UserTable, _ name: String, _ password: String = "secret") -> Bool {
        users.verify(name: Array(name.utf8), password: Array(password.utf8), with: PasswordHasher())
    }

    // MARK: What is read

    @Test(arguments: Sample.all)
    func eachKindOfHashIsTaken(hash: String) {
        let (users, findings) = Sample.read("alice:\(hash)\n")
        #expect(findings == [])
        #expect(accepts(users, "alice"))
        #expect(!accepts(users, "alice", "secret ") && !accepts(users, "alice", "") && !accepts(users, "bob"))
    }

    @Test(arguments: Sample.ofNothing)
    func anEmptyPasswordCounts(hash: String) {
        let users = Sample.read("guest:\(hash)").users
        #expect(accepts(users, "guest", ""))
        #expect(!accepts(users, "guest", "x") && !accepts(users, "", ""))
    }

    /// By other programs than crypt(3): crypt_blowfish's first vector, and openssl-passwd(1).
    @Test(arguments: [
        ("$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
        ("$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world!"),
        ("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!"),
    ])
    func knownHashesMatch(hash: String, password: String) {
        let (users, findings) = Sample.read("u:\(hash)")
        #expect(findings == [])
        #expect(accepts(users, "u", password))
    }

    @Test(arguments: [
        "a:\(Sample.sha256)\nb:\(Sample.bcrypt)\n", "a:\(Sample.sha256)\nb:\(Sample.bcrypt)",
        "\u{FEFF}a:\(Sample.sha256)\r\n\r\nb:\(Sample.bcrypt)\r\n",
        "# users\n\n \t\n  a:\(Sample.sha256) \t\n#c:plain\n\tb:\(Sample.bcrypt)\n #",
        "a:\(Sample.sha256) # the first\nb:\(Sample.bcrypt)\t#:the second",
    ])
    func whatIsNoEntryIsSkipped(text: String) {
        let (users, findings) = Sample.read(text)
        #expect(findings == [])
        #expect(users.count == 2 && accepts(users, "a") && accepts(users, "b"))
    }

    @Test(arguments: ["", "\n", "# nobody", "\u{FEFF}"])
    func aFileWithoutUsersLetsNobodyIn(text: String) {
        let (users, findings) = Sample.read(text)
        #expect(findings == [])
        #expect(users.count == 0 && !accepts(users, "a"))
    }

    @Test func namesAreBytes() {
        let names: [[UInt8]] = [
            Array("a b".utf8), Array("a#b".utf8), Array("müller".utf8), [0xFF], Array(repeating: UInt8(ascii: "n"), count: 255),
            Array("A".utf8), Array("a".utf8),
        ]
        let hash = Array(":\(Sample.bcrypt)\n".utf8)
        let (users, findings) = Sample.read(names.flatMap { $0 + hash })
        #expect(findings == [])
        for name in names { #expect(users.verify(name: name, password: Array("secret".utf8), with: PasswordHasher())) }
        #expect(!accepts(users, "muller") && !accepts(users, "B") && !accepts(users, "a "))
    }

    // MARK: What is refused

    private static let advice =
        "; make a yescrypt hash with 'mkpasswd', or one of SHA-512 with 'openssl passwd -6' ($5$ and bcrypt will do too)"
    private static let damaged = "the hash is damaged: it is not as long, or not of the letters, that its kind has"
    private static let plain = "this is a password in plain text, or a hash by DES, which protects no better"
    private static let md5 = "hashes by MD5 are guessed too fast to protect anything"
    private static let otherYescrypt = "yescrypt with parameters other than those that 'mkpasswd' chooses is not taken"

    @Test(arguments: [
        ("alice", "1:1: a line is NAME:HASH; this one has no colon"),
        ("\n  :\(Sample.sha256)", "2:3: there is no name before the colon"),
        ("alice:", "1:6: there is no hash after the colon"), ("alice: # none", "1:6: there is no hash after the colon"),
        ("alice: \(Sample.sha256)", "1:7: there is a blank in the hash"),
        ("alice:$5$a b$c", "1:11: there is a blank in the hash"),
        ("alice :\(Sample.sha256)", "1:7: there is a blank between the name and the colon"),
        ("mü\u{1}:\(Sample.sha256)", "1:3: there is a control character in the name"),
        ("a\tb:\(Sample.sha256)", "1:2: there is a control character in the name"),
        ("a\u{7F}:\(Sample.sha256)", "1:2: there is a control character in the name"),
        ("a:\(Sample.sha256):19000:0:99999:7:::", "1:56: a line is NAME:HASH; this one has more fields"),
        ("müller:hunter2", "1:8: \(plain)\(advice)"), ("a:abJnggxhB/yWI", "1:3: \(plain)\(advice)"),
        ("a:$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "1:3: \(md5)\(advice)"),
        ("a:$apr1$saltsalt$AYmWJZbJmXLyAGbUJKmXB.", "1:3: \(md5)\(advice)"),
        ("a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "1:3: this kind of hash is not taken\(advice)"),
        ("a:$gy$j9T$ab..$x", "1:3: this kind of hash is not taken\(advice)"),
        ("a:$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "1:3: of bcrypt, only $2b$ and $2y$ are taken\(advice)"),
        ("a:!\(Sample.sha256)", "1:3: a locked password lets nobody in; leave the line out\(advice)"),
        ("a:$", "1:3: this kind of hash is not taken\(advice)"), ("a:$6", "1:3: this kind of hash is not taken\(advice)"),
        ("a:$6$", "1:3: \(damaged)"), ("a:$6$salt", "1:3: \(damaged)"), ("a:$6$salt$", "1:3: \(damaged)"),
        ("a:$5$$\(String(repeating: "a", count: 43))", "1:3: \(damaged)"),
        ("a:$5$abcdefghijklmnopq$\(String(repeating: "a", count: 43))", "1:3: \(damaged)"),
        ("a:$5$salt$\(String(repeating: "a", count: 42))-", "1:3: \(damaged)"),
        ("a:\(Sample.sha256)a", "1:3: \(damaged)"), ("a:\(Sample.bcrypt.dropLast())", "1:3: \(damaged)"),
        ("a:$2b$4$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "1:3: \(damaged)"),
        ("a:$2b$03$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "1:3: bcrypt's cost is 3; it can be 4 to 13"),
        ("a:$2b$14$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "1:3: bcrypt's cost is 14; it can be 4 to 13"),
        ("a:$2b$99$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "1:3: bcrypt's cost is 99; it can be 4 to 13"),
        ("a:\(Sample.yescrypt.replacing("j75", with: "jDT"))", "1:3: \(tooDear)"),
        ("a:\(Sample.yescrypt.replacing("j75", with: "jkT"))", "1:3: \(tooDear)"),
        ("a:\(Sample.yescrypt.replacing("j75", with: "jzT"))", "1:3: \(tooDear)"),
        ("a:\(Sample.yescrypt.replacing("j75", with: "j65"))", "1:3: \(otherYescrypt)"),
        ("a:\(Sample.yescrypt.replacing("j75", with: "j7."))", "1:3: \(otherYescrypt)"),
        ("a:\(Sample.yescrypt.replacing("j75", with: "j75."))", "1:3: \(otherYescrypt)"),
        ("a:\(Sample.yescrypt.replacing("j75", with: "/75"))", "1:3: \(otherYescrypt)"),
        ("a:\(Sample.yescrypt.replacing("j75", with: ""))", "1:3: \(otherYescrypt)"),
        ("a:\(Sample.yescrypt.replacing("$abcdefgh$", with: "$abcdefghi$"))", "1:3: \(damaged)"),
        ("a:\(Sample.yescrypt.replacing("$abcdefgh$", with: "$$"))", "1:3: \(damaged)"),
        ("a:\(Sample.sha256)\nb:\(Sample.sha256)\na:\(Sample.bcrypt)", "3:1: the user of this name stands in line 1 already"),
    ])
    func eachErrorHasItsPlace(text: String, finding: String) {
        let (_, findings) = Sample.read(text)
        #expect(findings == [finding])
    }

    private static let tooDear = "verifying it would take more than 128 MiB of memory; choose a lower cost"

    @Test(arguments: ["999", "1000001", "01000", "", "5000x", "99999999999999999999", "-5000"])
    func roundsHaveBounds(rounds: String) {
        let text = Sample.sha512InRounds.replacing("rounds=1000", with: "rounds=\(rounds)")
        #expect(
            Sample.read("a:\(text)").findings
                == ["1:3: the hash's rounds can be 1000 to 1000000, in digits without zeros before them"])
    }

    @Test func theDearestThatAreTakenAre() {
        for text in [
            Sample.sha512InRounds.replacing("rounds=1000", with: "rounds=1000000"), Sample.bcrypt.replacing("$04$", with: "$13$"),
            Sample.yescrypt.replacing("j75", with: "jCT"), Sample.yescrypt.replacing("j75", with: "jE5"),
        ] {
            #expect(Sample.read("a:\(text)").findings == [])
        }
    }

    @Test func aNameHas255BytesAtMost() {
        let name = String(repeating: "n", count: 256)
        #expect(Sample.read("\(name):\(Sample.bcrypt)").findings == ["1:1: the name has 256 bytes; it can have 255"])
    }

    @Test func allFindingsAreTold() {
        let (users, findings) = Sample.read("a\nb:\(Sample.bcrypt)\n:\nc:x:y")
        #expect(findings.map { String($0.prefix(4)) } == ["1:1:", "3:1:", "4:4:"])
        #expect(users.count == 1)
    }

    @Test func usersHaveABound() {
        func text(_ count: Int) -> String { (0..<count).map { "u\($0):\(Sample.bcrypt)\n" }.joined() }
        let (users, findings) = Sample.read(text(UserFile.userLimit))
        #expect(users.count == 65_536 && findings == [])
        #expect(Sample.read(text(UserFile.userLimit + 2)).findings == ["65537:1: there are more than 65536 users"])
    }

    @Test func bytesHaveABound() {
        let blank = [UInt8](repeating: UInt8(ascii: "#"), count: UserFile.byteLimit)
        #expect(Sample.read(blank).findings == [])
        #expect(Sample.read(blank + [0x0A]).findings == ["0:0: the file is larger than 32 MiB"])
    }

    // MARK: Whatever comes

    /// No message quotes a password or a hash, and what is taken can be verified: crypt(3) understands its setting.
    private func examine(_ bytes: [UInt8], _ hasher: PasswordHasher) {
        var last = 0
        let users = UserFile.users(in: bytes) { finding in
            #expect(finding.line > last && finding.column > 0)
            #expect(!finding.message.contains("hunter2") && !finding.message.contains("OfJnf") && !finding.message.contains("uMUX"))
            last = finding.line
        }
        var calls = 0
        _ = users.verify(name: Array("nobody".utf8), password: [1]) { password, setting in
            calls += 1
            let hash = hasher.hash(password, as: setting)
            #expect(hash?.count == setting.count, "\(String(decoding: setting, as: UTF8.self))")
            return hash
        }
        #expect(calls == min(users.count, 1))
    }

    private static let file = Array(
        "# f\na:hunter2\nalice:\(Sample.bcrypt)\r\nbob:\(Sample.yescrypt)\nc:\(Sample.sha256InRounds) # c\n".utf8)

    @Test func everyTruncationIsRead() {
        let hasher = PasswordHasher()
        for count in 0...Self.file.count { examine(Array(Self.file[..<count]), hasher) }
    }

    @Test func everyMutationIsRead() {
        let hasher = PasswordHasher()
        var random = SplitMix(7)
        for _ in 0..<1_000 {
            var bytes = Self.file
            random.mutate(&bytes)
            examine(bytes, hasher)
        }
    }

    /// Of each kind alone: a hash that is read and of which crypt(3) thinks otherwise would be a user who cannot come in.
    @Test(arguments: [Sample.yescrypt, Sample.bcrypt, Sample.sha256InRounds])
    func everyMutatedHashIsRead(hash: String) {
        let hasher = PasswordHasher()
        var random = SplitMix(11)
        // What stands before the hash itself, where the parameters are.
        let letters = Array("$./09AZaz=j5".utf8)
        for _ in 0..<1_000 {
            var bytes = Array(hash.utf8)
            for _ in 0...random.below(2) { bytes[random.below(30)] = letters[random.below(letters.count)] }
            // Costs beyond what a test should take are another test's.
            guard let parsed = try? PasswordHash(bytes), parsed.isCheap else { continue }
            examine(Array("u:".utf8) + bytes, hasher)
        }
    }
}

extension PasswordHash {
    fileprivate var isCheap: Bool {
        switch cost {
        case .yescrypt(let blocks, let blockSize): blocks * blockSize <= 1 << 14
        case .bcrypt(let logarithm): logarithm <= 6
        case .sha512(let rounds), .sha256(let rounds): rounds <= 5_000
        }
    }
}
