/// The configuration of one run, as text: the tests write what a person would write.
struct ClearwayConfiguration {
    struct Listener {
        var name = "test"
        var mode = Mode.tproxy
        var listen = "[::]:1081"
        var scope = Scope.gateway
        var interfaces = ["lan"]
        var preserved = PreservedSource.off
        /// Further keys, one a line.
        var more = ""

        var toml: String {
            """
            [[listener]]
            name = "\(name)"
            mode = "\(mode.rawValue)"
            listen = ["\(listen)"]
            \(scope == .gateway ? "interfaces = [\(interfaces.map { "\"\($0)\"" }.joined(separator: ", "))]" : "local = true")
            preserve_source = \(preserved.toml)
            \(more)

            """
        }
    }

    var relay = "adaptive"
    /// Two, so that what crosses workers is tested whatever machine this runs on.
    var workers = 2
    /// Further keys at the top, one a line.
    var top = ""
    var logFormat: String
    var logFile: String
    var logLevel = "info"
    /// Further keys of `[log]`, one a line.
    var logMore = ""
    /// Keys of `[timeouts]`, one a line.
    var timeouts: String
    /// Keys of `[firewall]`, one a line.
    var firewall = ""
    var listeners = [Listener()]
    /// Tables of upstreams and rules.
    var policy = ""

    init(_ variant: Variant = Variant(), timeouts: String = "", logFormat: String = "json", logFile: String = "") {
        relay = variant.mover.rawValue
        self.timeouts = timeouts
        self.logFormat = logFormat
        self.logFile = logFile
        listeners = [Listener(mode: variant.mode, scope: variant.scope, preserved: variant.preserved)]
    }

    var toml: String {
        """
        relay = "\(relay)"
        workers = \(workers)
        \(top)
        [log]
        level = "\(logLevel)"
        format = "\(logFormat)"
        file = "\(logFile)"
        \(logMore)
        [timeouts]
        \(timeouts)
        [firewall]
        \(firewall)
        \(listeners.map(\.toml).joined())
        \(policy)
        """
    }
}
