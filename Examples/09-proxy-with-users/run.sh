#!/usr/bin/env bash
source "$(dirname "$0")/../../Scripts/scratch-network.bash"
gateway
for address in 198.51.100.11 198.51.100.12; do ip address add "$address/24" dev wan; done
at client ip address add 192.0.2.5/24 dev eth0
# Whoever does not ask the proxy gets nowhere.
echo 0 >/proc/sys/net/ipv4/ip_forward
web_server
start_clearway "$(dirname "$0")/clearway.toml"

run client curl -s --proxy socks5h://alice:secret@192.0.2.1:1080 http://198.51.100.2/
run client curl -s --proxy http://alice:secret@192.0.2.1:1080 --proxytunnel http://198.51.100.2/
run client curl -s --interface 192.0.2.5 --proxy socks5h://guest:guest@192.0.2.1:1080 http://198.51.100.2/
run client curl -s --interface 192.0.2.5 --proxy socks5h://guest:guest@192.0.2.1:1080 telnet://198.51.100.2:25 || echo "(curl ends with status $?)"
run client curl -s --proxy socks5h://alice:guess@192.0.2.1:1080 http://198.51.100.2/ || echo "(curl ends with status $?)"
run client curl -s --proxy http://192.0.2.1:1080 --proxytunnel http://198.51.100.2/ || echo "(curl ends with status $?)"

wait_for_sessions 6
show_web_log
show_sessions
stop_clearway
