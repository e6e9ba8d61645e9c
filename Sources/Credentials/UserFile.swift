/// A file of users: one `NAME:HASH` a line. Empty lines, lines that begin with a `#`, and what follows a blank and a `#` after the
/// hash, count for nothing; neither do blanks around a line.
///
/// A name is any bytes but colons and control characters. A file without users is a good one: it lets nobody in, and refusing it
/// would leave in those who were there before.
public enum UserFile {
    public static let userLimit = 65_536
    /// Bytes: every user with the longest name and hash, and some comments.
    public static let byteLimit = 32 << 20

    /// What is wrong with a line.
    public struct Finding: Error, Sendable, Equatable {
        /// From 1; 0 when it is about the file as a whole.
        public var line: Int
        /// From 1, in Unicode scalars; 0 when `line` is 0.
        public var column: Int
        /// Quotes nothing of the file: a name is easily taken for a password, and the other way round.
        public var message: String
    }

    /// - Parameter report: called for each finding, in the order of the file, at most once a line.
    /// - Returns: the users of all lines that are good. Whoever was told of a finding should use none of them.
    public static func users(in bytes: [UInt8], _ report: (Finding) -> Void) -> UserTable {
        guard bytes.count <= byteLimit else {
            report(Finding(line: 0, column: 0, message: "the file is larger than \(byteLimit >> 20) MiB"))
            return UserTable([])
        }
        var users: [(name: [UInt8], hash: PasswordHash)] = []
        var lines: [[UInt8]: Int] = [:]
        var line = 0
        // As list files have it: editors of Windows write one.
        var start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        while start < bytes.count {
            var end = start
            while end < bytes.count, bytes[end] != UInt8(ascii: "\n") { end += 1 }
            let whole = bytes[start..<end]
            start = end + 1
            line += 1
            let entry = trimmed(whole)
            guard let first = entry.first, first != UInt8(ascii: "#") else { continue }
            do throws(Misplaced) {
                let user = try user(entry)
                if let earlier = lines[user.name] {
                    throw Misplaced(entry.startIndex, "the user of this name stands in line \(earlier) already")
                }
                guard users.count < userLimit else {
                    report(Finding(line: line, column: 1, message: "there are more than \(userLimit) users"))
                    break
                }
                lines[user.name] = line
                users.append(user)
            } catch {
                let column = whole[..<error.index].count { $0 & 0xC0 != 0x80 } + 1
                report(Finding(line: line, column: column, message: error.message))
            }
        }
        return UserTable(users)
    }

    private struct Misplaced: Error {
        let index: Int
        let message: String
        init(_ index: Int, _ message: String) {
            self.index = index
            self.message = message
        }
    }

    /// - Parameter entry: neither empty nor with blanks around it.
    private static func user(_ entry: ArraySlice<UInt8>) throws(Misplaced) -> (name: [UInt8], hash: PasswordHash) {
        guard let colon = entry.firstIndex(of: UInt8(ascii: ":")) else {
            throw Misplaced(entry.startIndex, "a line is NAME:HASH; this one has no colon")
        }
        let name = entry[..<colon]
        guard !name.isEmpty else { throw Misplaced(entry.startIndex, "there is no name before the colon") }
        guard name.count <= UserTable.longestName else {
            throw Misplaced(entry.startIndex, "the name has \(name.count) bytes; it can have \(UserTable.longestName)")
        }
        if let control = name.firstIndex(where: { $0 < 0x20 || $0 == 0x7F }) {
            throw Misplaced(control, "there is a control character in the name")
        }
        guard name.last != UInt8(ascii: " ") else { throw Misplaced(colon, "there is a blank between the name and the colon") }
        var hash = entry[(colon + 1)...]
        if let blank = hash.firstIndex(where: isBlank) {
            guard trimmed(hash[blank...]).first == UInt8(ascii: "#") else {
                throw Misplaced(blank, "there is a blank in the hash")
            }
            hash = hash[..<blank]
        }
        guard !hash.isEmpty else { throw Misplaced(colon, "there is no hash after the colon") }
        if let second = hash.firstIndex(of: UInt8(ascii: ":")) {
            throw Misplaced(second, "a line is NAME:HASH; this one has more fields")
        }
        do throws(PasswordHash.Flaw) {
            return (Array(name), try PasswordHash(Array(hash)))
        } catch {
            throw Misplaced(hash.startIndex, error.message)
        }
    }

    private static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var text = text
        while let first = text.first, isBlank(first) { text.removeFirst() }
        while let last = text.last, isBlank(last) { text.removeLast() }
        return text
    }

    /// A carriage return is one: it stands before the line feed in files from Windows.
    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
    }
}
