/// What of other people's nft tables matters to interception, read from `nft list ruleset`.
public struct ForeignRuleset: Hashable, Sendable {
    /// A base chain, as `FAMILY TABLE CHAIN`.
    public var inputDrops: [String] = []
    public var forwardDrops: [String] = []
    /// Tables, as `FAMILY TABLE`.
    public var tables: [String] = []
    public var tproxyTables: [String] = []
    public var redirectTables: [String] = []
    /// Every chain, as `FAMILY TABLE CHAIN`; also those of iptables, where it writes to nftables.
    public var chains: [String] = []
    public var flowtables: [String] = []

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
                if words.contains("tproxy"), tproxyTables.last != table { tproxyTables.append(table) }
                if words.contains("redirect") || words.contains("\"REDIRECT\""), redirectTables.last != table {
                    redirectTables.append(table)
                }
            }
        }
    }
}
