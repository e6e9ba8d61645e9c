internal import Glibc

/// A command and its arguments as this program was given them: bytes, which need not be text.
public struct CommandWords: @unchecked Sendable {
    /// With a nil at the end.
    let base: UnsafePointer<UnsafeMutablePointer<CChar>?>

    /// - Parameter base: one word at least, and a nil behind the last; must stay as it is for the life of the program.
    public init(_ base: UnsafePointer<UnsafeMutablePointer<CChar>?>) { self.base = base }

    /// The command, without the zero at its end.
    var name: [CChar] { base[0].map { bytes($0) } ?? [] }

    /// Where the command begins in the words that `clearway exec` was called with, its own name included.
    ///
    /// It is cut off there before options are parsed, which takes a time that grows with the square of what comes behind them.
    ///
    /// - Returns: nil where there is no command, or before it something that only the parser of the options can judge.
    public static func beginning(in words: [String]) -> Int? {
        guard words.count > 1, words[1] == "exec" else { return nil }
        var index = 2
        while index < words.count {
            switch words[index] {
            case "--": return index + 1 < words.count ? index + 1 : nil
            case "-v", "--verbose": index += 1
            case "-c", "--config", "--upstream":
                guard index + 1 < words.count, !words[index + 1].hasPrefix("-") else { return nil }
                index += 2
            case let word where word.hasPrefix("--config=") || word.hasPrefix("--upstream="): index += 1
            case let word: return word.hasPrefix("-") ? nil : index
            }
        }
        return nil
    }
}

/// What a string of C's holds, without the zero at its end.
func bytes(_ text: UnsafePointer<CChar>) -> [CChar] { Array(UnsafeBufferPointer(start: text, count: strlen(text))) }
