// Node's server and client of HTTP/1, for HTTPRuntimesTests.swift.
//
//   node http_node.js serve PORT                     /page: in chunks; /echo: what came back again, as it comes; /digest: its SHA-256; with
//                                                    Upgrade: an echo of bytes
//   node http_node.js ask HOST PORT [PROXY PORT]     asks for all of that; prints what it found, as JSON
"use strict";
const crypto = require("crypto");
const http = require("http");

const digest = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");

function serve(port) {
    const server = http.createServer((request, response) => {
        if (request.url.startsWith("/page")) {
            let left = 100;
            const more = () => {
                if (left-- === 0) return response.end();
                response.write("x".repeat(3000), () => setImmediate(more));
            };
            more();
        } else if (request.url.startsWith("/echo")) {
            request.pipe(response);
        } else if (request.url.startsWith("/digest")) {
            const hash = crypto.createHash("sha256");
            request.on("data", (piece) => hash.update(piece));
            request.on("end", () => response.end(`${request.method} ${hash.digest("hex")}`));
        } else {
            response.writeHead(404).end();
        }
    });
    server.on("upgrade", (request, socket, head) => {
        socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        socket.write(head);
        socket.pipe(socket);
    });
    server.listen(Number(port), "::");
}

async function ask(host, port, proxy, proxyPort) {
    const name = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
    // One that goes through a proxy names the whole URL.
    const options = (path, more) =>
        proxy
            ? { host: proxy, port: proxyPort, path: `http://${name}${path}`, ...more, headers: { Host: name, ...more.headers } }
            : { host, port, path, ...more };
    const sockets = new Set();

    function exchange(path, more, body) {
        return new Promise((resolve, reject) => {
            const request = http.request(options(path, more), (response) => {
                const pieces = [];
                sockets.add(response.socket.localPort);
                response.on("data", (piece) => pieces.push(piece));
                response.on("end", () => resolve({ status: response.statusCode, body: Buffer.concat(pieces) }));
                response.on("error", reject);
            });
            request.on("error", reject);
            if (more.headers?.Expect) {
                request.on("continue", () => request.end(body));
            } else {
                for (const piece of body ?? []) request.write(piece);
                request.end();
            }
        });
    }

    const found = {};
    // One after the other, over one connection.
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const pages = [];
    for (let number = 0; number < 5; number++) pages.push(await exchange(`/page?${number}`, { agent }));
    found.pages = pages.filter((page) => page.status === 200 && page.body.toString() === "x".repeat(300000)).length;
    found.connections = sockets.size;

    // In chunks both ways at once.
    const pieces = Array.from({ length: 100 }, (_, number) => Buffer.alloc(20000 + number, number));
    const echo = await exchange("/echo", { agent, method: "PUT" }, pieces);
    found.echo = digest(echo.body) === digest(Buffer.concat(pieces));
    const told = await exchange("/digest", { agent, method: "POST", headers: { Expect: "100-continue", "Content-Length": 5 } }, "hello");
    found.told = told.body.toString() === `POST ${digest("hello")}`;
    agent.destroy();

    // Many at once, over a few.
    sockets.clear();
    const several = new http.Agent({ keepAlive: true, maxSockets: 4 });
    const many = await Promise.all(Array.from({ length: 40 }, (_, number) => exchange("/echo", { agent: several, method: "POST" }, [`${number}`])));
    found.many = many.filter((answer, number) => answer.body.toString() === `${number}`).length;
    found.several = sockets.size;
    several.destroy();

    found.upgraded = await new Promise((resolve, reject) => {
        const request = http.request(options("/up", { headers: { Connection: "Upgrade", Upgrade: "echo" } }));
        request.on("upgrade", (response, socket, head) => {
            let heard = head.toString();
            socket.write("through the tunnel");
            socket.on("data", (piece) => {
                heard += piece;
                if (heard.length < 18) return;
                socket.destroy();
                resolve(heard);
            });
        });
        request.on("response", (response) => reject(new Error(`upgrade: ${response.statusCode}`)));
        request.on("error", reject);
        request.end();
    });
    console.log(JSON.stringify(found));
}

const [what, ...words] = process.argv.slice(2);
if (what === "serve") serve(...words);
else ask(...words).catch((error) => { console.error(error); process.exit(1); });
