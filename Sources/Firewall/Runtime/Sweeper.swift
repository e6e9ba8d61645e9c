internal import CSockets
internal import Glibc
internal import TransparentSockets

/// Removes the sockets we leave behind, when we are killed.
///
/// Once the rules are gone, early demux attaches a left-over socket (TIME_WAIT, or a FIN that was never acknowledged) to
/// packets of its tuple that are only being routed, and the kernel drops routed packets that carry a socket: connections that
/// reuse the tuple stall for up to a minute. This child waits for the end of its standard input, which we hold, and then has
/// `ss -K` destroy what bears our mark and waits for nobody any more. Where the kernel cannot do that, early demux is switched
/// off while we run, which costs 6 to 8 % of the throughput of small messages.
final class Sweeper {
    private static let orphaned = "state fin-wait-1 state fin-wait-2 state closing state last-ack state time-wait"
    /// Twice: a connection that was being closed becomes TIME_WAIT a moment later. By then another process of ours may hold the
    /// mark, whose sessions are not ours to destroy: of theirs only TIME_WAIT, and what belongs to no process (inode 0).
    private static let script = """
        read -r _
        for pause in 0 0.3; do
            sleep $pause
            case $(cat /proc/net/unix) in
            *"@$2"*)
                "$0" -K -H -t -a state time-wait "$1"
                "$0" -H -t -a -n -e \(orphaned) "$1" | while read -r _ _ _ local peer rest; do
                    case "$rest " in *"ino:0 "*) "$0" -K -H -t -a src "$local" dst "$peer" ;; esac
                done
                ;;
            *) "$0" -K -H -t -a \(orphaned) "$1" ;;
            esac
        done
        """

    private let pid: pid_t
    private var input: Int32

    init(_ marks: Marks) throws(FirewallError) {
        let shell = try Tool.find("sh")
        let ss = try Tool.find("ss")
        let pipe = try Pipe()
        let null = Descriptor(owning: cs_open("/dev/null", O_WRONLY, 0))
        pid = try shell.spawn(
            ["-c", Self.script, ss.path, filter(marks), MarkReservation.name(marks)],
            descriptors: [pipe.reader.raw, null.raw, null.raw])
        input = pipe.keepWriter().release()
    }

    deinit { end() }

    /// At a clean stop there is nothing to sweep but TIME_WAIT, and no reason to wait for a child.
    func end() {
        guard input >= 0 else { return }
        kill(pid, SIGKILL)
        reap(pid)
        close(input)
        input = -1
    }

    /// Destroys TIME_WAIT sockets that bear our mark. Everything else still has something to deliver.
    static func sweepTimeWait(_ marks: Marks) {
        guard let ss = try? Tool.find("ss") else { return }
        _ = try? ss.run(["-K", "-H", "-t", "-a", "state", "time-wait", filter(marks)])
    }

    /// Whether this kernel lets sockets be destroyed (CONFIG_INET_DIAG_DESTROY): tried on a listening socket of our own.
    static func isSupported(_ marks: Marks) -> Bool {
        guard let ss = try? Tool.find("ss") else { return false }
        let raw = cs_socket_stream(AF_INET, 0)
        guard raw >= 0 else { return false }
        let victim = Descriptor(owning: raw)
        var address = cs_endpoint()
        address.family = 4
        address.bytes.0 = 127
        address.bytes.3 = 1
        guard cs_set_option(victim.raw, cs_level_socket, SO_MARK, Int32(bitPattern: marks.own)) == 0,
            cs_bind(victim.raw, &address) == 0, cs_listen(victim.raw, 1) == 0, cs_local_address(victim.raw, &address) == 0
        else { return false }
        _ = try? ss.run(["-K", "-H", "-t", "-l", "sport", "=", ":\(address.port)"])
        var isListening: Int32 = 1
        return cs_get_option(victim.raw, cs_level_socket, SO_ACCEPTCONN, &isListening) == 0 && isListening == 0
    }
}

private func filter(_ marks: Marks) -> String { "fwmark = \(hex(marks.own))/\(hex(marks.mask))" }
