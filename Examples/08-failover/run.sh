#!/usr/bin/env bash
source "$(dirname "$0")/../../Scripts/scratch-network.bash"
gateway
web_server
for port in 1080 1081; do
    nsenter --net="/proc/$server_host/ns/net" microsocks -p $port </dev/null >/dev/null 2>&1 &
    processes+=("$!")
    [[ $port != 1080 ]] || first=$!
    wait_until "SOCKS server" listens server $port
done
start_clearway "$(dirname "$0")/clearway.toml"

run client curl -s http://198.51.100.2/
wait_for_sessions 1
echo "(the first proxy is killed)"
# The shell tells of a job that was killed, at once or when it waits for it.
{ kill -9 "$first"; wait "$first" || true; } 2>/dev/null
run client curl -s http://198.51.100.2/
run client curl -s http://198.51.100.2/

wait_for_sessions 3
echo "Clearway says:"
grep -o 'warning: "upstream member left out".*' "$scratch/clearway.log" | head -1
show_sessions
stop_clearway
