extension Plan {
    /// The tools the rules can be written for.
    public enum Format: String, Sendable, CaseIterable {
        case nft, iptables, shell
    }

    /// The whole set-up as text to read or to apply by hand. None of the forms dies with a process, as the table that
    /// `run` makes does.
    public func rendered(_ format: Format) -> String {
        switch format {
        case .nft: nftFile
        case .iptables: iptablesScript
        case .shell: shellScript
        }
    }

    private var nftFile: String {
        var text = """
            #!/usr/sbin/nft -f
            # `clearway run` adds "flags owner" to table \(spec.table), so that it vanishes with the process; loaded from a file it stays.

            """
        for command in commands { text += "# " + command + "\n" }
        text += "\n" + replacing(spec.table, with: interceptionTable(owned: false))
        if let down = downTableText { text += "\n" + replacing(spec.downTable, with: down) }
        return text
    }

    private var shellScript: String {
        var rules = replacing(spec.table, with: interceptionTable(owned: false))
        if let down = downTableText { rules += replacing(spec.downTable, with: down) }
        // Without tabs, which a shell that is pasted into may take for a wish to complete.
        rules = rules.replacing("\t", with: "    ")
        var text = """
            #!/bin/sh
            # Sets up what `clearway run` would; these rules stay when the proxy stops. It may be run again. The end of this text
            # takes them away, which is also what to do before the configuration changes.

            """
        text += inSubshell("nft -f - <<'RULES'\n\(rules)RULES\n")
        text += "\n# Undo:\n#   nft delete table inet \(spec.table)\n"
        if spec.onDown == .reject { text += "#   nft delete table inet \(spec.downTable)\n" }
        for command in undoCommands { text += "#   \(command)\n" }
        return text
    }

    /// `steps` and ``commands`` for a shell: what fails ends them, and not the shell of someone who has pasted them; what is
    /// there already is not taken away for a moment, which would break open sessions.
    func inSubshell(_ steps: String) -> String {
        var text = "(\nset -e\n"
        if !rules.isEmpty {
            text += """
                add_rule() {
                    said=$(ip "$1" rule add $2 2>&1) && return
                    case $said in *"File exists"*) ;; *) echo "ip $1 rule add $2: $said" >&2; return 1 ;; esac
                }

                """
        }
        text += steps
        for family in familyOptions {
            if let route { text += "ip \(family) route replace \(route)\n" }
            for rule in rules { text += "add_rule \(family) '\(rule.words)'\n" }
        }
        for sysctl in sysctls { text += "sysctl -w \(sysctl.name)=\(sysctl.value)\n" }
        return text + ")\n"
    }

    /// `ip` and `sysctl` commands in the order in which they take effect without a gap.
    var commands: [String] {
        familyOptions.flatMap { family in
            (route.map { ["ip \(family) route replace \($0)"] } ?? []) + rules.map { "ip \(family) rule add \($0.words)" }
        } + sysctls.map { "sysctl -w \($0.name)=\($0.value)" }
    }

    var undoCommands: [String] {
        familyOptions.flatMap { family in
            rules.reversed().map { "ip \(family) rule del \($0.words)" } + (route.map { ["ip \(family) route del \($0)"] } ?? [])
        } + sysctls.map { "sysctl -w \($0.name)=1   # or what it was before" }
    }
}

/// A transaction in which a table of that name, present or not, becomes this one.
func replacing(_ table: String, with text: String) -> String {
    "table inet \(table)\ndelete table inet \(table)\n\(text)"
}
