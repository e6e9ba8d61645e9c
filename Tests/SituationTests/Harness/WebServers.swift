import Foundation

/// Web servers that people run, on the server host, all with the pages and scripts of one `Site`.
enum WebServer: CaseIterable {
    case nginx
    case apache
    case lighttpd
    /// `http.server`, which speaks HTTP/1.0.
    case python

    var port: Int {
        switch self {
        case .nginx: 80
        case .apache: 8080
        case .lighttpd: 8081
        case .python: 8082
        }
    }

    var runsScripts: Bool { self == .apache || self == .lighttpd }
    var compresses: Bool { self == .nginx || self == .apache }
    var knowsRanges: Bool { self != .python }

    fileprivate func command(_ site: Site) throws -> [String] {
        let scratch = site.scratch
        switch self {
        case .nginx:
            let configuration = try scratch.write(
                """
                user root;
                daemon off;
                # A worker would outlive its master, which is killed.
                master_process off;
                pid \(scratch.file("nginx.pid"));
                error_log stderr;
                events {}
                http {
                    access_log off;
                    default_type text/plain;
                    types { text/html html; text/javascript js; image/png png; image/gif gif; }
                    gzip on;
                    gzip_types text/plain;
                    gzip_proxied any;
                    client_body_temp_path \(scratch.file("nginx-body"));
                    proxy_temp_path \(scratch.file("nginx-proxy"));
                    fastcgi_temp_path \(scratch.file("nginx-fastcgi"));
                    uwsgi_temp_path \(scratch.file("nginx-uwsgi"));
                    scgi_temp_path \(scratch.file("nginx-scgi"));
                    server { listen \(port); listen [::]:\(port); root \(site.folder); }
                }
                """, to: "nginx.conf")
            return ["nginx", "-c", configuration, "-e", "stderr"]
        case .apache:
            let modules = ["mpm_event", "authz_core", "alias", "cgi", "env", "filter", "deflate"]
            let configuration = try scratch.write(
                """
                ServerName site.test
                DefaultRuntimeDir \(scratch.path)
                PidFile \(scratch.file("apache.pid"))
                ErrorLog /dev/stderr
                Listen \(port)
                \(modules.map { "LoadModule \($0)_module /usr/lib/apache2/modules/mod_\($0).so" }.joined(separator: "\n"))
                DocumentRoot \(site.folder)
                SetOutputFilter DEFLATE
                ScriptAlias /git/ \(site.gitBackend)/
                SetEnv GIT_PROJECT_ROOT \(site.folder)
                SetEnv GIT_HTTP_EXPORT_ALL 1
                SetEnv HOME \(scratch.path)
                <Directory \(site.folder)>
                    Options ExecCGI
                </Directory>
                <Files "*.sh">
                    SetHandler cgi-script
                </Files>

                """, to: "apache.conf")
            // It will not serve as root, nor become somebody else where there is nobody else: so it is made nobody, who still owns the files.
            // -X: one process, which nothing outlives.
            return ["unshare", "--user", "apache2", "-X", "-f", configuration]
        case .lighttpd:
            let configuration = try scratch.write(
                """
                server.port = \(port)
                server.bind = "[::]"
                server.v4mapped = "enable"
                server.document-root = "\(site.folder)"
                server.errorlog = "/dev/stderr"
                server.upload-dirs = ("\(scratch.path)")
                server.modules = ("mod_cgi")
                cgi.assign = (".sh" => "/bin/sh")

                """, to: "lighttpd.conf")
            return ["lighttpd", "-D", "-f", configuration]
        case .python:
            return ["/usr/bin/python3", "-m", "http.server", "\(port)", "--bind", "::", "--directory", site.folder]
        }
    }
}

/// What the servers serve: `page`, of 300 kB; `note`, of 1 kB; the scripts `digest.sh`, which says what method and body it got, and `stream.sh`, which
/// gives the page without saying how long it is.
struct Site {
    let scratch: ScratchDirectory
    fileprivate let gitBackend: String
    var folder: String { scratch.file("www") }

    static let pageSize = 300_000

    fileprivate init(_ stage: Stage) throws {
        scratch = stage.topology.scratch
        gitBackend =
            try stage.topology.server.require(["git", "--exec-path"]).trimmingCharacters(in: .newlines) + "/git-http-backend"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        chmod(scratch.path, 0o755)
        // Lines that differ, so that a lost, doubled or displaced one shows.
        let lines = (0..<Self.pageSize / 10).map { String(1_000_000_000 + $0).dropFirst() + "\n" }
        try scratch.write(lines.joined(), to: "www/page", mode: 0o644)
        try scratch.write(String(lines.joined().prefix(1_000)), to: "www/note", mode: 0o644)
        let type = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n"
        try scratch.write(type + "printf '%s %.64s' \"$REQUEST_METHOD\" \"$(sha256sum)\"\n", to: "www/digest.sh", mode: 0o755)
        try scratch.write(type + "cat \(folder)/page\n", to: "www/stream.sh", mode: 0o755)
    }

    var page: Data { get throws { try Data(contentsOf: URL(fileURLWithPath: folder + "/page")) } }

    /// Makes a file of bytes that look like chance, and are the same each time; its SHA-256.
    func digest(ofNew name: String, _ count: Int, in host: Namespace) throws -> String {
        let said = try host.require([
            "sh", "-c",
            #"head -c "$1" /dev/zero | openssl enc -aes-128-ctr -K 0 -iv 0 2>/dev/null >"$0" && exec openssl dgst -sha256 -r <"$0""#,
            scratch.file(name), "\(count)",
        ])
        return String(said.prefix(64))
    }
}

extension Stage {
    /// Starts web servers on the server, and waits until they listen.
    func startSite(_ servers: WebServer...) throws -> Site {
        let site = try Site(self)
        let programs = try servers.map { try topology.server.start($0.command(site)) }
        for (server, program) in zip(servers, programs) {
            try waitUntil("\(server)") {
                if let status = program.poll() { throw SituationError("\(server) ended: \(status)\n\(program.standardError)") }
                return try topology.server.listeningPorts().contains(server.port)
            }
        }
        return site
    }
}
