import Foundation
import Testing

extension Situations {
    /// How `clearway exec` ends, and what it leaves.
    @Suite struct ExecEnds {
        /// A terminal with a job in its foreground, as a shell makes it. Commands to the job's terminal come as arguments: a text to wait for,
        /// then what is typed. Prints how the job changed: `stopped`, `exit N`.
        private static let terminal = #"""
            import os, pty, signal, sys, termios, time
            steps, words = sys.argv[1].split("|"), sys.argv[2:]
            master, slave = pty.openpty()
            shell = os.fork()
            if shell == 0:
                os.setsid()
                import fcntl
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
                signal.signal(signal.SIGTTOU, signal.SIG_IGN)
                job = os.fork()
                if job == 0:
                    os.setpgid(0, 0)
                    os.tcsetpgrp(slave, os.getpid())
                    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
                    for fd in (0, 1, 2): os.dup2(slave, fd)
                    os.execvp(words[0], words)
                while True:
                    _, status = os.waitpid(job, os.WUNTRACED)
                    if os.WIFSTOPPED(status):
                        os.write(slave, b"[stopped]\n")
                        os.tcsetpgrp(slave, job)
                        os.killpg(job, signal.SIGCONT)
                    else:
                        os.write(slave, b"[exit %d]\n" % os.waitstatus_to_exitcode(status))
                        os._exit(0)
            os.close(slave)
            seen = b""
            for wanted, typed in zip(steps[::2], steps[1::2] + [""]):
                while wanted.encode() not in seen:
                    try: bytes = os.read(master, 4096)
                    except OSError: bytes = b""
                    if not bytes: print("missing", wanted, "in", seen); sys.exit(1)
                    sys.stdout.write(bytes.decode()); sys.stdout.flush()
                    seen += bytes
                seen = seen[seen.index(wanted.encode()) + len(wanted):]
                os.write(master, typed.encode().decode("unicode_escape").encode())
            os.waitpid(shell, 0)
            """#

        private func onTerminal(_ stage: ExecStage, _ steps: String, _ script: String) throws -> Finished {
            try stage.topology.client.finish(
                ["/usr/bin/python3", "-c", Self.terminal, steps] + stage.words([], ["sh", "-c", script]))
        }

        @Test(arguments: Caller.allCases)
        func theTerminalIsTheCommands(caller: Caller) throws {
            try playExec(caller) { stage in
                let rows = [
                    (#"ready|\x03|[exit 130]"#, 0, "echo ready; exec cat"),
                    // Once, not twice.
                    (
                        #"ready|\x03|caught|\x1c|end 1|-|[exit 7]"#, 0,
                        "n=0; trap 'n=$((n+1)); echo caught' INT; trap 'echo end $n; exit 7' QUIT; echo ready; while :; do sleep 0.01; done"
                    ),
                    (#"ready|\x1a|[stopped]|more\n\x04|[exit 0]"#, 1, "echo ready; read line; cat; test -n \"$line\""),
                    // It stops itself, and the shell hears of it.
                    (#"ready|-|[stopped]|-|on|-|[exit 4]"#, 1, "echo ready; kill -STOP $$; echo on; exit 4"),
                    // It does not stop, or not before it has put its terminal in order: nor do we.
                    (#"ready|\x1a\n|read|-|[exit 5]"#, 0, "trap '' TSTP; echo ready; read line; echo read; exit 5"),
                    (#"ready|\x1a|[stopped]|-|back|-|[exit 3]"#, 1, Self.stopsInOrder),
                    (#"ready|\x1c|[exit 131]"#, 0, "ulimit -c 0; echo ready; exec cat"),
                ]
                for (steps, stops, script) in rows {
                    let finished = try onTerminal(stage, steps.replacingOccurrences(of: "|-|", with: "||"), script)
                    #expect(finished.succeeded, "\(script): \(finished.output)\(finished.errors)")
                    #expect(finished.output.components(separatedBy: "[stopped]").count == stops + 1, "\(script)")
                }
            }
        }

        private static let stopsInOrder = """
            exec python3 -c '
            import os, signal
            def stop(*_):
                os.kill(os.getpid(), signal.SIGSTOP)
                print("back", flush=True)
                os._exit(3)
            signal.signal(signal.SIGTSTP, stop)
            print("ready", flush=True)
            while True: signal.pause()'
            """

        @Test func signalsReachTheCommand() throws {
            try playExec(.ordinaryUser) { stage in
                let realTime: [Int32] = [34, 37, 64]
                for number in [
                    SIGTERM, SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGXFSZ, SIGIO, SIGPWR,
                    SIGSTKFLT,
                    SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH,
                ] + realTime {
                    let program = try stage.topology.client.start(
                        stage.words([], ["sh", "-c", "trap 'exit 9' \(number); echo ready; while :; do sleep 0.01; done"]))
                    try waitUntil("the trap for \(number)") { program.standardOutput == "ready\n" }
                    // This one is nobody's business.
                    program.signal(SIGPIPE)
                    program.signal(number)
                    #expect(try program.waitForExit() == .exited(9), "\(number)")
                }
            }
        }

        /// Holds a connection and says what becomes of it; then tries others until one is not to be had.
        private static let holder = """
            import os, socket, sys
            s = socket.create_connection(("198.51.100.2", int(sys.argv[1])))
            s.send(b"hello")
            print("open", os.getpid(), flush=True)
            try: print("end", s.recv(1), flush=True)
            except OSError as e: print(e.strerror, flush=True)
            # The kernel closes one socket after the other: the listener may be there a moment longer than the connection.
            while True:
                try: socket.create_connection(("198.51.100.2", int(sys.argv[1]))).close()
                except ConnectionResetError: continue
                except OSError as e: print(e.strerror, flush=True); break
            """

        private func hold(_ stage: ExecStage, _ peer: Peer) throws -> (program: Program, child: pid_t) {
            let listener = try peer.listen("198.51.100.2")
            let program = try stage.topology.client.start(
                stage.words([], ["/usr/bin/python3", "-c", Self.holder, "\(listener.int("port"))"]))
            let accepted = try peer.accept(listener).socket
            #expect(try peer.receive(accepted, 5) == "hello")
            let child = try waitFor("the command") { () -> pid_t? in
                let words = program.standardOutput.split(separator: "\n").first?.split(separator: " ") ?? []
                return words.count == 2 ? pid_t(words[1]) : nil
            }
            return (program, child)
        }

        @Test(arguments: Caller.allCases)
        func whoeverIsKilledNothingIsLeft(caller: Caller) throws {
            try playExec(caller) { stage in
                let peer = try Peer(in: stage.topology.server)

                // Clearway: what the command had ends, and it gets nothing new; it is not ours to kill.
                var (program, child) = try hold(stage, peer)
                let first = try #require(ExecStage.networkNamespace(of: "\(child)"))
                #expect(first != ExecStage.networkNamespace(of: "\(program.pid)"))
                program.signal(SIGKILL)
                #expect(try program.waitForExit() == .signalled(SIGKILL))
                try waitUntil("the command's end") { kill(child, 0) != 0 }
                let told = program.standardOutput.split(separator: "\n").dropFirst()
                #expect(
                    told == ["Connection reset by peer", "Connection refused"] || told == ["end b''", "Connection refused"],
                    "\(told)")

                // The command.
                (program, child) = try hold(stage, peer)
                let second = try #require(ExecStage.networkNamespace(of: "\(child)"))
                kill(child, SIGKILL)
                #expect(try program.waitForExit() == .exited(137))

                for namespace in [first, second] {
                    try waitUntil("nobody left in the namespace") { try !ExecStage.isInhabited(namespace) }
                }
            }
        }

        /// What runs on in the background has no network any more: Clearway ends with the command.
        @Test func backgroundChildrenAreCutOff() throws {
            try playExec(.ordinaryUser) { stage in
                let peer = try Peer(in: stage.topology.server)
                let listener = try peer.listen("198.51.100.2")
                let folder = try stage.playground("background")
                let holder = try stage.topology.scratch.write(Self.holder, to: "holder.py", mode: 0o644)
                let script = """
                    /usr/bin/python3 \(holder) \(listener.int("port")) >\(folder)/said 2>&1 &
                    while ! grep -q open \(folder)/said; do sleep 0.01; done
                    exit 6
                    """
                let finished = try stage.run([], ["sh", "-c", script])
                #expect(finished.status == .exited(6), "\(finished.errors)")
                let told = try waitFor("what the child saw") { () -> [Substring]? in
                    let text = (try? String(contentsOfFile: folder + "/said", encoding: .utf8)) ?? ""
                    let lines = text.split(separator: "\n")
                    return lines.count == 3 ? lines : nil
                }
                #expect(told[1...] == ["Connection reset by peer", "Connection refused"])
            }
        }

        /// What the command has said before its end arrives, though nobody reads it before.
        @Test func lastWordsArrive() throws {
            try playExec(.ordinaryUser) { stage in
                let peer = try Peer(in: stage.topology.server)
                let listener = try peer.listen("198.51.100.2")
                let speaker = """
                    import socket
                    s = socket.create_connection(("198.51.100.2", \(listener.int("port"))))
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
                    s.sendall(b"x" * 3000000)
                    """
                let program = try stage.topology.client.start(stage.words([], ["/usr/bin/python3", "-c", speaker]))
                let accepted = try peer.accept(listener).socket
                let drained = try peer.drain(accepted)
                #expect(drained.int("bytes") == 3_000_000 && drained.end == "fin", "\(drained.fields)")
                #expect(try program.waitForExit() == .exited(0))
            }
        }

        /// ... also where there is so much of it that the command's end has not come to us, for it comes last.
        @Test func whatDidNotFitArrives() throws {
            try playExec(.ordinaryUser) { stage in
                let peer = try Peer(in: stage.topology.server)
                let listener = try peer.listen("198.51.100.2")
                // Until nobody takes any more.
                let speaker = """
                    import os, select, socket
                    s = socket.create_connection(("198.51.100.2", \(listener.int("port"))))
                    s.setblocking(False)
                    said = 0
                    while select.select([], [s], [], 1)[1]: said += s.send(b"x" * 65536)
                    print(os.getpid(), said, flush=True)
                    """
                let program = try stage.topology.client.start(stage.words([], ["/usr/bin/python3", "-c", speaker]))
                let accepted = try peer.accept(listener).socket
                let words = try waitFor("what was said") { () -> [Int]? in
                    let words = program.standardOutput.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
                    return words.count == 2 && program.standardOutput.hasSuffix("\n") ? words : nil
                }
                try waitUntil("the command's end") { kill(pid_t(words[0]), 0) != 0 }
                let drained = try peer.drain(accepted)
                #expect(drained.int("bytes") == words[1] && drained.end == "fin", "\(words[1]): \(drained.fields)")
                #expect(try program.waitForExit() == .exited(0))
            }
        }
    }
}
