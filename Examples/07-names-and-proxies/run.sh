#!/usr/bin/env bash
source "$(dirname "$0")/../../Scripts/scratch-network.bash"
gateway
web_server
# The proxy asks the server host's /etc/hosts; a namespace has no file of its own, so the name stands in ours for it alone.
nsenter --net="/proc/$server_host/ns/net" unshare --mount sh -c '
    echo "198.51.100.2 shop.partner.example" >"$1" && mount --bind "$1" /etc/hosts && exec microsocks -p 1080' \
    sh "$scratch/hosts" </dev/null >/dev/null 2>&1 &
processes+=("$!")
wait_until "SOCKS server" listens server 1080
start_clearway "$(dirname "$0")/clearway.toml"

resolve() { printf -- '--resolve %s:80:198.51.100.2' "$1"; }
run client curl -s $(resolve shop.partner.example) http://shop.partner.example/
run client curl -s $(resolve www.blocked.example) http://www.blocked.example/ || echo "(curl ends with status $?)"
run client curl -s http://198.51.100.2/
run gateway "$clearway" explain -c "$(dirname "$0")/clearway.toml" --name shop.partner.example 198.51.100.2:80 | sed "s|$clearway|clearway|"

wait_for_sessions 3
show_sessions
stop_clearway
