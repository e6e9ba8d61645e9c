/// What a configuration file of transocks says, before anything of it is taken at its word.
public struct TransocksFile: Sendable, Equatable {
    /// Go's `host:port`.
    public var listen = "localhost:1081"
    public var proxyURL = ""
    public var log = DropInLog()

    /// Reads a file and nothing else.
    public static func load(_ path: String) throws(DropInError) -> TransocksFile {
        try TransocksFile(parsing: try dropInText(path, .transocks))
    }

    /// - Throws: what is wrong, in transocks' words: the syntax, else a type, else the keys that it does not know.
    public init(parsing text: String) throws(DropInError) {
        var top = try GoTable.root(text, keys: ["listen", "proxy_url", "log"], .transocks)
        listen = try top.string("listen") ?? listen
        proxyURL = try top.string("proxy_url") ?? proxyURL
        log = try DropInLog(in: &top)
        guard top.undecoded.isEmpty else { throw DropInError("undecoded key in TOML: [\(top.undecodedNames)]") }
    }
}
