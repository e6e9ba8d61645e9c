public import TransparentSockets

/// What of other people's nft tables matters to interception, read from `nft list ruleset`.
public struct ForeignRuleset: Hashable, Sendable {
    /// A base chain, as `FAMILY TABLE CHAIN`.
    public var inputDrops: [String] = []
    public var forwardDrops: [String] = []
    /// Tables, as `FAMILY TABLE`.
    public var tables: [String] = []
    public var interceptions: [Interception] = []
    /// Every chain, as `FAMILY TABLE CHAIN`; also those of iptables, where it writes to nftables.
    public var chains: [String] = []
    public var flowtables: [String] = []

    /// A rule that hands connections or datagrams to a program on this host.
    public struct Interception: Hashable, Sendable {
        public var table: String
        public var mode: InterceptionMode
        /// Where the program listens; nil: the rule does not say it as a number.
        public var port: UInt16?

        /// - Parameter words: of a rule as nft lists it, those of iptables included.
        fileprivate init?(in table: String, _ words: [Substring]) {
            let rule = words.prefix { $0 != "comment" }
            func place(of names: String...) -> Int? { rule.firstIndex { names.contains(String($0)) } }
            if let place = place(of: "tproxy", "TPROXY", "\"TPROXY\"") {
                self.init(table: table, mode: .tproxy, port: Self.port(rule[place...]))
            } else if let place = place(of: "redirect", "REDIRECT", "\"REDIRECT\"") {
                self.init(table: table, mode: .redirect, port: Self.port(rule[place...]))
            } else {
                return nil
            }
        }

        private init(table: String, mode: InterceptionMode, port: UInt16?) {
            (self.table, self.mode, self.port) = (table, mode, port)
        }

        private static func port(_ words: ArraySlice<Substring>) -> UInt16? {
            words.lazy.compactMap { word in word.lastIndex(of: ":").flatMap { UInt16(word[word.index(after: $0)...]) } }.first
        }
    }

    /// Lines that say nothing of interest are passed over.
    public init(parsing text: String) {
        var table = ""
        var chain = ""
        for line in text.split(separator: "\n") {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard let first = words.first else { continue }
            switch first {
            case "table" where words.count >= 3:
                table = "\(words[1]) \(words[2])"
                tables.append(table)
            case "chain" where words.count >= 2:
                chain = "\(table) \(words[1])"
                chains.append(chain)
            case "flowtable": flowtables.append(table)
            case "type":
                let drops = words.contains { $0.hasPrefix("drop") }
                if drops, words.contains("input") { inputDrops.append(chain) }
                if drops, words.contains("forward") { forwardDrops.append(chain) }
            default:
                if let found = Interception(in: table, words) { interceptions.append(found) }
            }
        }
    }
}
