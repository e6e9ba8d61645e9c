extension Configuration {
    /// ``embeddedDefault`` as a commented file.
    public static let embeddedText = """
        # Carries every TCP connection that this host makes, to where it was going.
        # Each value below is the default, except `local`: a file without any [[listener]] has one with local = true.

        workers = 0                     # 0: one per CPU
        max_sessions = 0                # 0: derived from the descriptor limit
        relay = "adaptive"              # how bytes move: adaptive copy splice

        [log]
        level = "info"                  # critical error warning notice info debug
        format = "plain"                # plain logfmt json
        file = ""                       # "": standard error
        access = true                   # one line per finished session

        [timeouts]
        connect = "10s"                 # reaching the upstream
        idle = "1h"                     # an open session without a byte either way; "0s": no limit
        half_close = "60s"              # after one side has ended, without a byte; "0s": no limit
        drain = "60s"                   # sessions still open at a stop; "0s": they end at once

        [firewall]
        manage = true                   # install, own and remove the rules; false: `clearway rules` shows what you must do
        on_down = "direct"              # direct | reject: traffic when no listener takes it
        table = "clearway"              # name of our nft table
        priority = "mangle"             # of our chains
        mark = 0                        # lowest bit of our two-bit mark, such as 0x1000000; 0: choose
        route_table = 0                 # 0: choose

        [[listener]]
        name = "tproxy-1081"            # default: mode and port
        mode = "tproxy"                 # tproxy | redirect
        listen = ["[::]:1081"]          # [::] serves IPv4 too
        protocols = ["tcp"]
        interfaces = []                 # intercept what arrives here (gateway)
        local = true                    # intercept what this host itself sends
        ports = ["1-65535"]             # destination ports intercepted
        destinations = []               # only these networks; empty: all
        exclude = []                    # never these networks; loopback, link-local, multicast and this host's own addresses are always excluded
        clients = []                    # only clients in these networks; empty: all
        preserve_source = false         # dial from the client's own address: false | "address" | "address+port"

        """
}
