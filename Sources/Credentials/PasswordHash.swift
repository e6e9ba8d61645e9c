/// A password as a file keeps it, in a form that crypt(3) knows: kind, parameters, salt and hash.
///
/// Sources: crypt(5); yescrypt's parameters as crypt_gensalt(3) of libxcrypt writes them.
struct PasswordHash: Sendable, Equatable {
    /// Bytes without a NUL, as `$6$salt$hash`: to crypt(3) also the setting with which to hash a password that shall match.
    let text: [UInt8]
    let cost: Cost

    /// What decides how long a verification takes.
    enum Cost: Hashable, Sendable {
        case yescrypt(blocks: UInt64, blockSize: UInt64)
        case bcrypt(logarithm: Int)
        case sha512(rounds: Int)
        case sha256(rounds: Int)
    }

    struct Flaw: Error {
        /// Never quotes what it is about.
        let message: String
    }

    // What a verification may cost: 0.15 to 0.4 s on the machine where this was measured. Others are several times slower, and
    // a verdict that takes three seconds comes too late.
    static let mostMemory: UInt64 = 128 << 20
    static let bcryptCosts = 4...13
    static let shaRounds = 1_000...1_000_000

    /// Refuses everything with which no password could ever match, as far as that can be told without one.
    init(_ text: [UInt8]) throws(Flaw) {
        // What stands before the first `$` is nothing; then come the kind and what belongs to it.
        let fields = text.split(separator: UInt8(ascii: "$"), omittingEmptySubsequences: false)
        guard let first = fields.first, first.isEmpty, fields.count >= 3 else { throw Self.unknownKind(text) }
        switch String(decoding: fields[1], as: UTF8.self) {
        case "y": cost = try Self.yescrypt(fields[2...])
        case "2b", "2y": cost = try Self.bcrypt(fields[2...])
        case "6": cost = .sha512(rounds: try Self.shaRounds(fields[2...], hashLength: 86))
        case "5": cost = .sha256(rounds: try Self.shaRounds(fields[2...], hashLength: 43))
        default: throw Self.unknownKind(text)
        }
        self.text = text
    }

    private static func unknownKind(_ text: [UInt8]) -> Flaw {
        func begins(_ prefix: String) -> Bool { text.starts(with: prefix.utf8) }
        let what =
            if begins("$1$") || begins("$apr1$") || begins("$md5") {
                "hashes by MD5 are guessed too fast to protect anything"
            } else if begins("$2") {
                "of bcrypt, only $2b$ and $2y$ are taken"
            } else if begins("$") || begins("{") {
                "this kind of hash is not taken"
            } else if begins("!") || begins("*") {
                "a locked password lets nobody in; leave the line out"
            } else {
                "this is a password in plain text, or a hash by DES, which protects no better"
            }
        return Flaw(
            message:
                "\(what); make a yescrypt hash with 'mkpasswd', or one of SHA-512 with 'openssl passwd -6' ($5$ and bcrypt will do too)"
        )
    }

    private static let damaged = Flaw(message: "the hash is damaged: it is not as long, or not of the letters, that its kind has")

    /// `j`, two letters for memory, salt, hash. Other flavours, parallelism and a ROM are nothing that a tool for passwords chooses.
    private static func yescrypt(_ fields: ArraySlice<ArraySlice<UInt8>>) throws(Flaw) -> Cost {
        let fields = Array(fields)
        guard fields.count == 3, isHash(fields[2], ofLength: 43), isYescryptSalt(fields[1]) else { throw damaged }
        let parameters = fields[0].compactMap(value)
        // crypt_gensalt(3) makes 1,024 blocks or more, of 8 or 32. Others can be refused by crypt(3), or take ten times as long for
        // the same memory.
        guard fields[0].count == 3, fields[0].first == UInt8(ascii: "j"), parameters.count == 3, parameters[1] >= 9,
            parameters[2] == 7 || parameters[2] == 31
        else { throw Flaw(message: "yescrypt with parameters other than those that 'mkpasswd' chooses is not taken") }
        // Letters from 48 on begin numbers of two letters.
        guard parameters[1] < 48 else { throw tooDear }
        let (blocks, blockSize) = (UInt64(1) << (parameters[1] + 1), parameters[2] + 1)
        guard blocks * blockSize * 128 <= mostMemory else { throw tooDear }
        return .yescrypt(blocks: blocks, blockSize: blockSize)
    }

    private static let tooDear = Flaw(
        message: "verifying it would take more than \(mostMemory >> 20) MiB of memory; choose a lower cost")

    private static func bcrypt(_ fields: ArraySlice<ArraySlice<UInt8>>) throws(Flaw) -> Cost {
        let fields = Array(fields)
        guard fields.count == 2, isHash(fields[1], ofLength: 53), fields[0].count == 2, let cost = number(fields[0]) else {
            throw damaged
        }
        guard bcryptCosts.contains(cost) else {
            throw Flaw(message: "bcrypt's cost is \(cost); it can be \(bcryptCosts.lowerBound) to \(bcryptCosts.upperBound)")
        }
        return .bcrypt(logarithm: cost)
    }

    /// `rounds=N` if it is not 5,000, salt, hash.
    private static func shaRounds(_ fields: ArraySlice<ArraySlice<UInt8>>, hashLength: Int) throws(Flaw) -> Int {
        var fields = fields
        var rounds = 5_000
        let word = Array("rounds=".utf8)
        if let first = fields.first, first.starts(with: word) {
            fields.removeFirst()
            guard let written = number(first.dropFirst(word.count)), first.dropFirst(word.count).first != UInt8(ascii: "0"),
                shaRounds.contains(written)
            else {
                throw Flaw(
                    message:
                        "the hash's rounds can be \(shaRounds.lowerBound) to \(shaRounds.upperBound), in digits without zeros before them"
                )
            }
            rounds = written
        }
        guard fields.count == 2, let salt = fields.first, let hash = fields.last, isHash(hash, ofLength: hashLength),
            (1...16).contains(salt.count), salt.allSatisfy(isSaltOfSHA)
        else { throw damaged }
        return rounds
    }

    // MARK: Letters

    /// What a letter of `./0-9A-Za-z` stands for: 0…63.
    private static func value(_ letter: UInt8) -> UInt64? {
        switch letter {
        case UInt8(ascii: "."): 0
        case UInt8(ascii: "/"): 1
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(letter - UInt8(ascii: "0")) + 2
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt64(letter - UInt8(ascii: "A")) + 12
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt64(letter - UInt8(ascii: "a")) + 38
        default: nil
        }
    }

    private static func isHash(_ letters: ArraySlice<UInt8>, ofLength length: Int) -> Bool {
        letters.count == length && letters.allSatisfy { value($0) != nil }
    }

    /// Four letters are three octets; of the letters that are left over, each octet must be whole and nothing may remain.
    private static func isYescryptSalt(_ letters: ArraySlice<UInt8>) -> Bool {
        let values = letters.compactMap(value)
        guard values.count == letters.count, values.count <= 86, let last = values.last else { return false }
        switch values.count % 4 {
        case 0: return true
        case 2: return last < 4
        case 3: return last < 16
        default: return false
        }
    }

    /// What libxcrypt takes in a setting: printable ASCII but `:;*!\`. (`$` has separated the fields.)
    private static func isSaltOfSHA(_ letter: UInt8) -> Bool {
        (0x21...0x7E).contains(letter) && !":;*!\\".utf8.contains(letter)
    }

    /// Up to nine digits.
    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        guard (1...9).contains(digits.count), digits.allSatisfy({ $0 &- 0x30 < 10 }) else { return nil }
        return digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }
}
