import Foundation
import Testing

extension Situations {
    /// `clearway exec`: programs that people run, in a namespace of their own.
    @Suite struct Exec {
        @Test(arguments: Caller.allCases)
        func programsReachTheirServers(caller: Caller) throws {
            try playExec(caller) { stage in
                try stage.startPages()
                for (family, address) in [(Family.v4, "198.51.100.2"), (.v6, "[2001:db8:2::2]")] {
                    let fetched = try stage.run([], ["curl", "-sS", "http://\(address):8000/page"])
                    #expect(fetched.output == "the page\n", "\(family): \(fetched.errors)")
                    #expect(fetched.errors.isEmpty)
                }
                let piped = try stage.run([], ["sh", "-c", "curl -sS http://198.51.100.2:8000/page | tr a-z A-Z | sed p"])
                #expect(piped.succeeded && piped.output == "THE PAGE\nTHE PAGE\n")
                try Self.clone(stage)
                try Self.callStatically(stage)
            }
        }

        private static func clone(_ stage: ExecStage) throws {
            let repository = stage.topology.scratch.file("www/repository.git")
            let script = """
                git init -q -b main '\(repository)/work' && cd '\(repository)/work' && echo content > file && git add file
                git -c user.name=n -c user.email=e commit -q -m first && git clone -q --bare . '\(repository)/bare'
                cd '\(repository)/bare' && git update-server-info && chmod -R a+rX '\(repository)'
                """
            try stage.topology.server.require(["sh", "-ec", script])
            let copy = try stage.playground("clone") + "/copy"
            let cloned = try stage.run(
                [], ["git", "clone", "-q", "http://198.51.100.2:8000/repository.git/bare", copy],
                environment: ["HOME": stage.topology.scratch.path])
            #expect(cloned.succeeded, "\(cloned.errors)")
            #expect(try String(contentsOfFile: copy + "/file", encoding: .utf8) == "content\n")
        }

        /// A program that no library of ours could be loaded into.
        private static func callStatically(_ stage: ExecStage) throws {
            let source = try stage.topology.scratch.write(
                #"""
                #include <arpa/inet.h>
                #include <stdio.h>
                #include <unistd.h>
                int main(void) {
                    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(8000)};
                    inet_pton(AF_INET, "198.51.100.2", &to.sin_addr);
                    int fd = socket(AF_INET, SOCK_STREAM, 0);
                    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) { perror("connect"); return 1; }
                    dprintf(fd, "GET /page HTTP/1.0\r\n\r\n");
                    char bytes[4096];
                    for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;) fwrite(bytes, 1, n, stdout);
                    return 0;
                }
                """#, to: "static.c")
            let program = stage.topology.scratch.file("static")
            try stage.topology.server.require(["gcc", "-static", "-o", program, source])
            chmod(program, 0o755)
            let said = try stage.run([], [program])
            #expect(said.succeeded && said.output.hasSuffix("the page\n"), "\(said.output)\(said.errors)")
        }

        @Test(arguments: Caller.allCases)
        func aSecureShellStaysOpen(caller: Caller) throws {
            try playExec(caller) { stage in
                let shell = try SecureShell(on: stage.topology.server)
                let key = stage.topology.scratch.file("ssh-user")
                if caller == .ordinaryUser { chown(key, 65534, 65534) }
                let session = try shell.open(
                    from: stage.topology.client, to: "198.51.100.2", wrapper: stage.words([], []))
                for line in ["one", "two"] { try session.say(line) }
                try session.input.fileHandleForWriting.close()
                #expect(try session.program.waitForExit() == .exited(0))
            }
        }

        /// Words need not be text, and there may be many. Behind the first, nothing is an option of ours.
        @Test func theCommandGetsItsWordsAsTheyAre() throws {
            try playExec(.ordinaryUser) { stage in
                let said = #"sh -c 'printf "%s|" "$RES_OPTIONS" "$@"' "$(printf '\376')" "$word" -- -v '' --upstream"#
                let script = #"word=$(printf 'a\377\303b'); export RES_OPTIONS="$word"; "$@" \#(said) | od -An -v -tx1"#
                let words = stage.words(["--upstream", "socks5://127.0.0.1:9"], [])
                let expected =
                    "61 ff c3 62 20 75 73 65 2d 76 63 7c 61 ff c3 62 7c 2d 2d 7c 2d 76 7c 7c 2d 2d 75 70 73 74 72 65 61 6d 7c"
                for words in [words, words.dropLast()] {
                    let finished = try stage.topology.client.finish(["sh", "-c", script, "sh"] + words)
                    #expect(finished.output.split { $0.isWhitespace }.joined(separator: " ") == expected, "\(finished.errors)")
                }
                let many = try stage.topology.client.finish(
                    ["sh", "-c", #""$@" sh -c 'echo $#' sh $(seq 20000)"#, "sh"] + stage.words([], []))
                #expect(many.output == "20000\n", "\(many.errors)")
            }
        }

        /// What a program can see of itself is what it would see without us.
        @Test(arguments: Caller.allCases)
        func theCommandFindsItsWorldAsItWas(caller: Caller) throws {
            try playExec(caller) { stage in
                let look = """
                    pwd; umask; id -u; id -g; env | grep -v ^_= | sort; ulimit -n -H; ulimit -n; ls /proc/self/fd
                    grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status; ps -o pgid= -p $$ | grep -c .; cat
                    """
                let script = "cd /usr/lib; umask 027; trap '' USR1 CHLD; ulimit -Sn 900; echo given | \"$@\""
                func see(_ words: [String]) throws -> String {
                    try stage.topology.client.finish(
                        caller.wrapper + ["sh", "-c", script, "sh"] + words + ["sh", "-c", look], environment: ["ONE": "1 \"2\""]
                    ).output
                }
                let plain = try see([])
                #expect(plain.contains("/usr/lib\n0027\n") && plain.contains("ONE=1 \"2\"") && plain.hasSuffix("given\n"))
                let through = try see([clearwayBinary, "exec", "--"])
                #expect(through.replacingOccurrences(of: "RES_OPTIONS=use-vc\n", with: "") == plain)
                // It may not change the rules that it lives by.
                if caller == .ordinaryUser {
                    #expect(try !stage.run([], ["sh", "-c", "PATH=$PATH:/usr/sbin nft flush ruleset"]).succeeded)
                }
            }
        }

        @Test(arguments: Caller.allCases)
        func theExitStatusIsTheCommands(caller: Caller) throws {
            try playExec(caller) { stage in
                let rows: [(status: Int32, command: [String])] = [
                    (0, ["true"]), (3, ["sh", "-c", "exit 3"]), (255, ["sh", "-c", "exit 255"]), (126, ["/etc/passwd"]),
                    (126, ["/usr"]),
                    (127, ["/nonexistent"]), (127, ["no-such-program"]), (143, ["sh", "-c", "kill -TERM $$"]),
                    (137, ["sh", "-c", "kill -KILL $$"]), (134, ["sh", "-c", "kill -ABRT $$"]),
                ]
                for row in rows {
                    let finished = try stage.run([], row.command)
                    #expect(finished.status == .exited(row.status), "\(row.command): \(finished.errors)")
                    let isOurs = row.status == 126 || row.status == 127
                    #expect(finished.errors.hasPrefix("clearway exec: ") == isOurs && finished.errors.isEmpty == !isOurs)
                }
                #expect(try stage.run([], []).status == .exited(64))
            }
        }

        /// Before the command options are ours, and from there on the command's, with -- and without.
        @Test func optionsAreOursUntilTheCommand() throws {
            try playExec(.ordinaryUser) { stage in
                func say(_ words: [String]) throws -> Finished {
                    try stage.topology.client.finish(stage.caller.wrapper + [clearwayBinary, "exec"] + words)
                }
                for words in [["--help"], ["-h"], ["-v", "--help"], ["-vh"], ["--help", "true"]] {
                    let help = try say(words)
                    #expect(help.succeeded && help.output.contains("USAGE: clearway exec"), "\(words): \(help.errors)")
                }
                let version = try say(["--version"])
                #expect(version.succeeded && version.output.hasPrefix("clearway "), "\(version.errors)")
                for words in [["--bogus", "--", "echo", "ran"], ["--bogus", "echo", "ran"], ["-v", "-x", "echo", "ran"]] {
                    let refused = try say(words)
                    #expect(refused.status == .exited(64) && refused.output.isEmpty, "\(words): \(refused.output)")
                    #expect(refused.errors.contains("Unknown option"), "\(words): \(refused.errors)")
                }
                for words in [["echo", "-v", "--help", "--", "-h"], ["--", "echo", "-v", "--help", "--", "-h"]] {
                    #expect(try say(words).output == "-v --help -- -h\n")
                }
                #expect(try say(["--", "--help"]).status == .exited(127))
            }
        }

        @Test func rulesAndProxiesDecide() throws {
            try playExec(.ordinaryUser) { stage in
                try stage.startPages()
                try stage.startPages(port: 8_001)
                _ = try stage.topology.server.start(["microsocks", "-i", "::", "-p", "1090"])
                try stage.topology.server.waitUntilListening(on: 1_090)
                let rules = try stage.topology.scratch.write(
                    """
                    [[listener]]
                    listen = "127.0.0.1:8000"
                    mode = "socks"
                    [[rule]]
                    port = 8001
                    action = "reject"
                    """, to: "rules.toml", mode: 0o644)
                func fetch(_ options: [String], _ port: Int) throws -> Finished {
                    try stage.run(options, ["curl", "-sS", "http://198.51.100.2:\(port)/page"])
                }
                #expect(try fetch(["-c", rules], 8_000).output == "the page\n")
                let rejected = try fetch(["-v", "-c", rules], 8_001)
                #expect(!rejected.succeeded && rejected.errors.contains("ending=\"proxy-rejected\""))
                #expect(rejected.errors.contains("rule=1"), "\(rejected.errors)")
                // The file's rules come first; the proxy gets the rest.
                let proxy = ["-v", "--upstream", "socks5h://198.51.100.2:1090"]
                let carried = try fetch(["-c", rules] + proxy, 8_000)
                #expect(carried.output == "the page\n" && carried.errors.contains("upstream=\"proxy\""), "\(carried.errors)")
                #expect(try !fetch(["-c", rules] + proxy, 8_001).succeeded)
                #expect(try fetch(proxy, 8_001).output == "the page\n")
                // Told before anything runs.
                for options in [["--upstream", "gopher://h:1"], ["-c", "/nonexistent.toml"]] {
                    let refused = try stage.run(options, ["echo", "ran"])
                    #expect(refused.status == .exited(78) && refused.output.isEmpty, "\(refused.errors)")
                }
                #expect(try stage.run(["--upstream", "gopher://h:1"], ["true"]).errors.contains("--upstream: error: url: "))
            }
        }

        /// Once, and not for each session; what the destination does is the command's to tell.
        @Test func aProxyThatFailsIsTold() throws {
            try playExec(.ordinaryUser) { stage in
                _ = try stage.topology.server.start(["microsocks", "-i", "::", "-p", "1090"])
                try stage.topology.server.waitUntilListening(on: 1_090)
                func fetch(through port: Int) throws -> [Substring] {
                    let fetch = "curl -s http://198.51.100.2:8000/page; "
                    let script = String(repeating: fetch, count: 8) + "sleep 1.1; \(fetch)"
                    return try stage.run(["--upstream", "socks5h://198.51.100.2:\(port)"], ["sh", "-c", script])
                        .errors.split(separator: "\n")
                }
                let told = try fetch(through: 9)
                #expect(told.count == 1, "\(told)")
                #expect(told.first?.contains("warning: \"upstream failed\"") == true, "\(told)")
                #expect(told.first?.contains("socks5h://198.51.100.2:9") == true, "\(told)")
                #expect(told.first?.contains("Connection refused") == true, "\(told)")
                #expect(try fetch(through: 1_090) == [])
            }
        }

        @Test(arguments: Caller.allCases)
        func loopbackIsTheHostsUnlessSomebodyInsideListens(caller: Caller) throws {
            try playExec(caller) { stage in
                let host = stage.topology.client
                try stage.startPages(on: host, address: "127.0.0.1")
                try stage.startPages(on: host, address: "::1", port: 8_006)
                // No proxy is asked for it.
                let nobody = ["--upstream", "socks5://203.0.113.1:1"]
                for url in ["http://127.0.0.1:8000/page", "http://[::1]:8006/page"] {
                    let fetched = try stage.run(nobody, ["curl", "-sS", url])
                    #expect(fetched.output == "the page\n", "\(url): \(fetched.errors)")
                }
                let inside = """
                    import socket, errno
                    def refused(family, kind, to):
                        s = socket.socket(family, kind)
                        try:
                            s.connect(to)
                            s.send(b"x")
                            s.settimeout(10)
                            return repr(s.recv(1))
                        except OSError as e:
                            return errno.errorcode.get(e.errno, repr(e))
                    for family, everywhere, loopback, foreign in (
                        (socket.AF_INET, "0.0.0.0", "127.0.0.1", "198.51.100.2"), (socket.AF_INET6, "::", "::1", "2001:db8:2::2")):
                        listener = socket.create_server((everywhere, 8000), family=family)
                        client = socket.create_connection((loopback, 8000), 10)
                        peer, _ = listener.accept()
                        peer.send(b"inside")
                        print(client.recv(6).decode())
                        # Its own name for itself is its own, too; a foreign address with the same port is not.
                        own = socket.socket(family, socket.SOCK_DGRAM)
                        own.connect((foreign, 9))
                        socket.create_connection((own.getsockname()[0], 8000), 10)
                        listener.accept()
                        far = socket.create_connection((foreign, 8000), 10)
                        far.send(b"GET /page HTTP/1.0\\r\\n\\r\\n")
                        print(far.makefile("rb").read().splitlines()[-1].decode())
                        # Where nobody is outside UDP is refused, also where somebody inside has the same port.
                        box = socket.socket(family, socket.SOCK_DGRAM)
                        box.bind((everywhere, 5353))
                        for to in ((foreign, 53), (foreign, 5353), (loopback, 53)):
                            print(refused(family, socket.SOCK_DGRAM, to))
                        sender = socket.socket(family, socket.SOCK_DGRAM)
                        sender.sendto(b"inside", (loopback, 5353))
                        box.settimeout(10)
                        print(box.recv(6).decode())
                    """
                try stage.startPages()
                let said = try stage.run([], ["/usr/bin/python3", "-c", inside])
                let expected = "inside\nthe page\nECONNREFUSED\nECONNREFUSED\nECONNREFUSED\ninside\n"
                #expect(said.output == expected + expected, "\(said.output)\(said.errors)")
            }
        }

        /// The host's resolver at loopback is asked as the command's own resolver does it: by UDP; where there are proxies, by TCP.
        @Test(arguments: Caller.allCases)
        func namesAreResolvedByTheHostsResolver(caller: Caller) throws {
            try playExec(caller) { stage in
                let resolver = """
                    import socket, struct, sys
                    def exactly(s, n):
                        b = b""
                        while len(b) < n:
                            b += s.recv(n - len(b)) or exit()
                        return b
                    def answer(q):
                        end = q.index(0, 12) + 5
                        a = q[:2] + b"\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0" + q[12:end]
                        return a + b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4" + bytes([198, 51, 100, 2])
                    if sys.argv[1] == "udp":
                        box = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                        box.bind(("127.0.0.53", 53))
                        print("ready", flush=True)
                        while True:
                            q, client = box.recvfrom(512)
                            box.sendto(answer(q), client)
                    server = socket.create_server(("127.0.0.53", 53))
                    print("ready", flush=True)
                    while True:
                        s, _ = server.accept()
                        try:
                            while True:
                                a = answer(exactly(s, struct.unpack(">H", exactly(s, 2))[0]))
                                s.send(struct.pack(">H", len(a)) + a)
                        except SystemExit:
                            s.close()
                    """
                let file = try stage.topology.scratch.write("nameserver 127.0.0.53\n", to: "resolv.conf", mode: 0o644)
                let proxies = try stage.topology.scratch.write(
                    "[[upstream]]\nname = 'unused'\nurl = 'socks5://203.0.113.1:1'\n", to: "proxies.toml", mode: 0o644)
                try stage.startPages()
                for (transport, options) in [("udp", []), ("tcp", ["-c", proxies])] {
                    let server = try stage.topology.client.start(["/usr/bin/python3", "-c", resolver, transport])
                    defer { server.end() }
                    try waitUntil("a resolver") { server.standardOutput.contains("ready") }
                    let fetched = try stage.topology.client.finish(
                        ["sh", "-c", "mount --bind \(file) /etc/resolv.conf && exec \"$@\"", "sh"]
                            + stage.words(options, ["curl", "-4", "-sS", "http://www.example.test:8000/page"]))
                    #expect(fetched.output == "the page\n", "\(transport): \(fetched.errors)")
                }
            }
        }

        /// Datagrams and their answers, from and to where the command believes.
        @Test(arguments: Caller.allCases)
        func datagramsAreCarried(caller: Caller) throws {
            try playExec(caller) { stage in
                let echo = """
                    import socket, selectors
                    all = selectors.DefaultSelector()
                    for address in ("198.51.100.2", "2001:db8:2::2"):
                        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
                        s.bind((address, 7000))
                        all.register(s, selectors.EVENT_READ)
                    print("ready", flush=True)
                    while True:
                        for key, _ in all.select():
                            data, client = key.fileobj.recvfrom(65535)
                            key.fileobj.sendto(data, client)
                    """
                let server = try stage.topology.server.start(["/usr/bin/python3", "-c", echo])
                try waitUntil("an echo") { server.standardOutput.contains("ready") }
                let inside = """
                    import socket
                    for address in ("198.51.100.2", "2001:db8:2::2"):
                        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
                        s.settimeout(10)
                        for size in (0, 1, 1200, 9000, 65507):
                            s.sendto(b"x" * size, (address, 7000))
                            data, source = s.recvfrom(65535)
                            print(len(data), source[0], source[1])
                    """
                let said = try stage.run(["-v"], ["/usr/bin/python3", "-c", inside])
                let sizes = [0, 1, 1_200, 9_000, 65_507]
                let expected = ["198.51.100.2", "2001:db8:2::2"].flatMap { from in sizes.map { "\($0) \(from) 7000\n" } }.joined()
                #expect(said.output == expected, "\(said.output)\(said.errors)")
                #expect(said.errors.contains(#"protocol="udp""#), "\(said.errors)")
            }
        }

        @Test func forbiddenUserNamespacesAreNamed() throws {
            try playExec(.root) { stage in
                let drop = "setpriv --bounding-set -all --inh-caps -all"
                let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \(drop) \"$@\""
                let refused = try stage.topology.client.finish(
                    ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"] + stage.words([], ["echo", "ran"]))
                #expect(refused.status == .exited(77) && refused.output.isEmpty)
                #expect(refused.errors.contains("user.max_user_namespaces is 0"), "\(refused.errors)")
            }
        }
    }
}
