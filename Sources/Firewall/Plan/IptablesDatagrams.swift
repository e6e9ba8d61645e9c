internal import TransparentSockets

/// The rules of UDP, in chains beside those of TCP; ``Plan/datagramPrerouting(isBase:_:)`` says why they are as they are.
extension IptablesFamily {
    private var members: [Interception] {
        spec.interceptions.filter { $0.protocols.contains(.udp) && !$0.listeners(ipv6: ipv6).isEmpty }
    }

    func interceptDatagrams(_ table: inout Table) {
        let members = members
        guard members.contains(where: { $0.local || !$0.interfaces.isEmpty }) else { return }
        let chain = name("upre")
        table.chains.append(chain)
        table.jumps.append("PREROUTING -p udp -j \(chain)")
        for (index, member) in members.enumerated() where member.local {
            let inner = name("ul\(index)")
            table.rules.append("-A \(chain) -i lo -m mark --mark \(mark(spec.marks.local)) -j \(inner)")
            handOver(member, in: inner, mark: spec.marks.local, &table)
        }
        table.rules.append("-A \(chain) -i lo -j RETURN")
        if spec.datagramNeeds.anywhere {
            // It passes over sockets that are bound to no address, as the listener is.
            let divert = "-A \(chain) -m socket --transparent"
            table.rules += ["\(divert) -j MARK --set-xmark \(mark(spec.marks.gateway))", "\(divert) -j ACCEPT"]
        }
        if members.contains(where: { !$0.interfaces.isEmpty }) { datagramExclusions(chain, &table) }
        for (index, member) in members.enumerated() where !member.interfaces.isEmpty {
            let inner = name("ug\(index)")
            table.rules += jumps(chain, member, to: inner)
            handOver(member, in: inner, mark: spec.marks.gateway, &table)
        }
        markOwnDatagrams(&table)
    }

    private func handOver(_ member: Interception, in chain: String, mark value: UInt32, _ table: inout Table) {
        let address = member.listeners(ipv6: ipv6)[0]
        let at = address.address.isUnspecified ? "" : " --on-ip \(address.address)"
        criteria(
            chain, member, of: .udp, actions: ["-p udp -j TPROXY --on-port \(address.port)\(at) --tproxy-mark \(mark(value))"],
            &table)
    }

    private func markOwnDatagrams(_ table: inout Table) {
        guard members.contains(where: \.local) else { return }
        let marks = spec.marks
        let chain = name("uout")
        table.chains.append(chain)
        table.jumps.append("OUTPUT -p udp -j \(chain)")
        table.rules.append("-A \(chain) -m mark --mark \(mark(marks.own)) -j RETURN")
        exits(chain, &table)
        table.rules += [
            "-A \(chain) -m conntrack --ctdir ORIGINAL -m connmark --mark \(mark(marks.local)) -j MARK --set-xmark \(mark(marks.local))",
            "-A \(chain) -m conntrack ! --ctstate NEW -j RETURN",
        ]
        ownExclusions(chain, &table)
        for (index, member) in members.enumerated() where member.local {
            let inner = name("uo\(index)")
            table.rules.append("-A \(chain) -j \(inner)")
            criteria(
                inner, member, of: .udp,
                actions: ["-j CONNMARK --set-xmark \(mark(marks.local))", "-j MARK --set-xmark \(mark(marks.local))"], &table)
        }
    }

    func refuseDatagrams(_ table: inout Table) {
        let members = members
        for gateway in [true, false] where members.contains(where: { gateway ? !$0.interfaces.isEmpty : $0.local }) {
            let chain = name(gateway ? "urfwd" : "urout")
            table.chains.append(chain)
            table.jumps.append("\(gateway ? "FORWARD" : "OUTPUT") -p udp -m mark --mark 0x0/\(hex(spec.marks.mask)) -j \(chain)")
            if gateway {
                datagramExclusions(chain, &table)
            } else {
                exits(chain, &table)
                table.rules.append("-A \(chain) -m conntrack ! --ctstate NEW -j RETURN")
                ownExclusions(chain, &table)
            }
            for (index, member) in members.enumerated() where gateway ? !member.interfaces.isEmpty : member.local {
                let inner = name("\(gateway ? "urg" : "uro")\(index)")
                table.rules += gateway ? jumps(chain, member, to: inner) : ["-A \(chain) -j \(inner)"]
                criteria(
                    inner, member, of: .udp,
                    actions: ["-p udp -j REJECT --reject-with \(ipv6 ? "icmp6" : "icmp")-port-unreachable"], &table)
            }
        }
    }

    private func datagramExclusions(_ chain: String, _ table: inout Table) {
        table.rules.append(returning(chain, "dports", excludedDatagramPorts))
        excludedDestinations(chain, &table)
    }

    private func ownExclusions(_ chain: String, _ table: inout Table) {
        table.rules.append(returning(chain, "sports", answersToMulticast))
        datagramExclusions(chain, &table)
    }

    private func returning(_ chain: String, _ side: String, _ ports: [Int]) -> String {
        "-A \(chain) -p udp -m multiport --\(side) \(ports.map(String.init).joined(separator: ",")) -j RETURN"
    }
}
