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
        /// Where the program listens, as the rule says it; nil: it does not say it.
        public var ports: ClosedRange<UInt16>?

        /// - Parameter words: of a rule as nft lists it, those of iptables included.
        fileprivate init?(in table: String, _ words: [Substring]) {
            let rule = words.prefix { $0 != "comment" }
            func place(of names: String...) -> Int? { rule.firstIndex { names.contains(String($0)) } }
            if let place = place(of: "tproxy", "TPROXY", "\"TPROXY\"") {
                self.init(table: table, mode: .tproxy, ports: Self.ports(rule[place...]))
            } else if let place = place(of: "redirect", "REDIRECT", "\"REDIRECT\"") {
                self.init(table: table, mode: .redirect, ports: Self.ports(rule[place...]))
            } else {
                return nil
            }
        }

        private init(table: String, mode: InterceptionMode, ports: ClosedRange<UInt16>?) {
            (self.table, self.mode, self.ports) = (table, mode, ports)
        }

        private static func ports(_ words: ArraySlice<Substring>) -> ClosedRange<UInt16>? {
            words.lazy.compactMap { word -> ClosedRange<UInt16>? in
                guard let colon = word.lastIndex(of: ":") else { return nil }
                let ends = word[word.index(after: colon)...].split(separator: "-", omittingEmptySubsequences: false).map {
                    UInt16($0)
                }
                guard ends.count <= 2, let first = ends[0], let last = ends[ends.count - 1], first <= last else { return nil }
                return first...last
            }.first
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
