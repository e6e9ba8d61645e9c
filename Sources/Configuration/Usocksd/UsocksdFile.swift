/// What a configuration file of usocksd says, before anything of it is taken at its word. Without a file, it is this.
public struct UsocksdFile: Sendable, Equatable {
    public var log = DropInLog()
    public var port = 1080
    public var metricsPort = 1081
    /// To listen on; empty: all.
    public var addresses: [String] = []
    /// Networks whose clients are served.
    public var allowFrom: [String] = []
    public var allowSites: [String] = []
    public var denySites: [String] = []
    public var denyPorts: [Int] = []
    public var interface = ""
    public var sources: [String] = []
    public var blockList = ""

    public init() {}

    /// Reads a file and nothing else.
    public static func load(_ path: String) throws(DropInError) -> UsocksdFile {
        try UsocksdFile(parsing: try dropInText(path, .usocksd), path: path)
    }

    /// - Parameter path: what messages call the file.
    /// - Throws: what is wrong, in usocksd's words: the syntax, else a type, else the keys that it does not know.
    public init(parsing text: String, path: String) throws(DropInError) {
        var top = try GoTable.root(text, keys: ["log", "incoming", "outgoing"], .usocksd)
        log = try DropInLog(in: &top)
        if let incoming = try top.table("incoming", keys: ["port", "metrics_port", "addresses", "allow_from"]) {
            port = try incoming.integer("port") ?? port
            metricsPort = try incoming.integer("metrics_port") ?? metricsPort
            addresses = try incoming.strings("addresses") ?? addresses
            allowFrom = try incoming.strings("allow_from") ?? allowFrom
        }
        let keys = ["allow_sites", "deny_sites", "deny_ports", "iface", "addresses", "dnsbl_domain"]
        if let outgoing = try top.table("outgoing", keys: keys) {
            allowSites = try outgoing.strings("allow_sites") ?? allowSites
            denySites = try outgoing.strings("deny_sites") ?? denySites
            denyPorts = try outgoing.integers("deny_ports") ?? denyPorts
            interface = try outgoing.string("iface") ?? interface
            sources = try outgoing.strings("addresses") ?? sources
            blockList = try outgoing.string("dnsbl_domain") ?? blockList
        }
        guard top.undecoded.isEmpty else { throw DropInError("Unknown config keys in \(path): \(top.undecodedNames)") }
    }
}
