#!/usr/bin/env bash
source "$(dirname "$0")/../../Scripts/scratch-network.bash"
cd "$(dirname "$0")"
gateway
web_server
start_clearway clearway.toml

echo "gateway# clearway rules -c clearway.toml --format shell >rules.sh"
"$clearway" rules -c clearway.toml --format shell >"$scratch/rules.sh"
cat "$scratch/rules.sh"

echo "gateway# sh rules.sh"
sh "$scratch/rules.sh" >/dev/null
echo "gateway# sh rules.sh    # once more does no harm"
sh "$scratch/rules.sh" >/dev/null
run client curl -s http://198.51.100.2/

wait_for_sessions 1
show_sessions

# Of the doctor, what it says of these rules: the rest differs from machine to machine.
echo "gateway# clearway doctor -c clearway.toml | grep -E 'ip rule|by hand'"
{ "$clearway" doctor -c clearway.toml || true; } | grep -E 'ip rule|by hand'

echo "gateway# (the lines after \"Undo\")"
sed -n '/^# Undo/,$ s/^#  *\(nft\|ip\|sysctl\) /\1 /p' "$scratch/rules.sh" | sh >/dev/null
run gateway nft list tables
run gateway ip rule list
run client curl -s http://198.51.100.2/
stop_clearway
