# Sourced by the demo and the examples: a scratch network that nobody else sees, with or without root.
#
# The script that sources this starts itself again in a network namespace of its own, with an empty /run. That namespace is
# the gateway (or, in an example, "this host"). Every further host is a namespace held by one sleeping process, so that
# nothing has a name that could clash, and nothing is left when the processes are gone.
#
#      client 192.0.2.2 ──── lan  gateway  wan ──── 198.51.100.2 server
#     2001:db8:1::2               (here)                2001:db8:2::2

set -euo pipefail
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The program under test: one that is named, or what `make build` has made.
clearway=${CLEARWAY_BINARY:-$root/.build/debug/clearway}
command -v "$clearway" >/dev/null || { echo "there is no $clearway: run make build" >&2; exit 1; }

if [[ -z ${CLEARWAY_SCRATCH-} ]]; then
    export CLEARWAY_SCRATCH=root
    user=()
    [[ $(id -u) -eq 0 ]] || { CLEARWAY_SCRATCH=user user=(--user --map-root-user); }
    if ! unshare "${user[@]}" --net --mount true; then
        echo "this needs network namespaces: run it as root, or allow user namespaces to users" >&2
        echo "(sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)" >&2
        exit 77
    fi
    exec unshare "${user[@]}" --net --mount -- "${BASH:-bash}" "$0" "$@"
fi

mount -t tmpfs tmpfs /run
mkdir -p /run/netns
ip link set lo up
scratch=$(mktemp -d "${TMPDIR:-/tmp}/clearway.XXXXXX")
processes=()

# Ends what this script started, and with the processes their namespaces.
clean_up() {
    local status=$?
    trap - EXIT
    ((${#processes[@]} == 0)) || kill "${processes[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$scratch"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# wait_until WHAT COMMAND…: tries again until COMMAND succeeds, and gives up after ten seconds.
wait_until() {
    local what=$1 tries=0
    shift
    until "$@"; do
        ((++tries <= 200)) || { echo "no $what after ten seconds" >&2; return 1; }
        sleep 0.05
    done
}

# host NAME: a further host. `at NAME COMMAND…` runs a command there.
host() {
    unshare --net sleep infinity </dev/null >/dev/null 2>&1 &
    declare -g "$1_host=$!"
    processes+=("$!")
    wait_until "namespace of $1" differs "$!"
    at "$1" ip link set lo up
}
differs() { [[ $(readlink "/proc/$1/ns/net") != $(readlink /proc/self/ns/net) ]]; }
at() {
    local holder="$1_host"
    shift
    nsenter --net="/proc/${!holder}/ns/net" "$@"
}

# cable NAME INTERFACE NUMBER NETWORK4 NETWORK6: joins host NAME, whose address ends in 2, to INTERFACE here, which ends in 1.
cable() {
    local holder="$1_host"
    ip link add "$2" type veth peer name eth0 netns "${!holder}"
    # Without a second of looking for duplicate addresses, during which IPv6 is not quite there.
    echo 0 >"/proc/sys/net/ipv6/conf/$2/accept_dad"
    at "$1" sh -c 'echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad'
    ip link set "$2" up
    ip address add "$3.1/24" dev "$2"
    ip address add "$4::1/64" dev "$2" nodad
    at "$1" ip link set eth0 up
    at "$1" ip address add "$3.2/24" dev eth0
    at "$1" ip address add "$4::2/64" dev eth0 nodad
    at "$1" ip route add default via "$3.1"
    at "$1" ip route add default via "$4::1"
}

# gateway: client and server, with this namespace between them, forwarding.
gateway() {
    host client
    host server
    cable client lan 192.0.2 2001:db8:1
    cable server wan 198.51.100 2001:db8:2
    echo 1 >/proc/sys/net/ipv4/ip_forward
    echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
}

# web_server: a page to fetch from the server host, and web.log, in which the server says who asked.
web_server() {
    mkdir "$scratch/web"
    echo "Hello from the server." >"$scratch/web/index.html"
    head -c 1000000 /dev/zero >"$scratch/web/megabyte"
    # Not by `at`: the number to end it by must be its own, and not that of a shell around it.
    nsenter --net="/proc/$server_host/ns/net" python3 -u -m http.server --bind :: --directory "$scratch/web" 80 </dev/null >"$scratch/web.log" 2>&1 &
    processes+=("$!")
    wait_until "web server" listens server 80
}
listens() { at "$1" ss -Hltn "sport = :$2" | grep -q .; }

# start_clearway CONFIGURATION: runs Clearway here; its log is clearway.log. Returns when it carries traffic.
start_clearway() {
    : >"$scratch/clearway.log"
    "$clearway" run ${1:+-c "$1"} </dev/null >"$scratch/clearway.log" 2>&1 &
    clearway_process=$!
    processes+=("$!")
    wait_until "\"ready\" from Clearway" ready || { cat "$scratch/clearway.log" >&2; return 1; }
}
ready() {
    # Ended already: there is no use in waiting.
    kill -0 "$clearway_process" 2>/dev/null || { cat "$scratch/clearway.log" >&2; exit 1; }
    grep -q '"ready"' "$scratch/clearway.log"
}

# wait_for_sessions COUNT: access lines are written when sessions end, a moment after the client has its page.
wait_for_sessions() { wait_until "$1 finished sessions" sessions_are "$1" || { cat "$scratch/clearway.log" >&2; return 1; }; }
sessions_are() { [[ $(grep -c '"session"' "$scratch/clearway.log") -ge $1 ]]; }

# Lets Clearway finish, with its rules undone.
stop_clearway() {
    kill -TERM "$clearway_process"
    wait "$clearway_process"
}

# run HOST COMMAND…: shows the command as typed there, and what it says. HOST "gateway" or "host" is this namespace.
run() {
    local where=$1
    shift
    case $where in
    gateway | host)
        echo "$where# $*"
        "$@"
        ;;
    *)
        echo "$where\$ $*"
        at "$where" "$@"
        ;;
    esac
}

# What was seen, without what differs from run to run: times, ports, and sizes that depend on curl's and Python's versions.
# Which of two sides that end in order is seen to do so first is a matter of microseconds, more so with a proxy between them.
show_sessions() {
    echo "access log:"
    grep '"session"' "$scratch/clearway.log" | sed -E \
        -e 's/^[^ ]+ [^ ]+ clearway //' -e 's/(client|local)="([^"]*):[0-9]+"/\1="\2:PORT"/g' \
        -e 's/ (up|down)=[0-9]+/ \1=BYTES/g' -e 's/ duration=[0-9.]+/ duration=SECONDS/' \
        -e 's/ ending="(client|upstream)-fin"/ ending="SIDE-fin"/'
}
show_web_log() {
    echo "the server's log:"
    grep GET "$scratch/web.log" | sed -E -e 's/^::ffff://' -e 's/ \[[^]]*\]//'
}
# Requests in the format `combined`, without the time and the client's version.
requests_are() { [[ $(grep -c ' HTTP/1\.[01]" ' "$scratch/clearway.log") -ge $1 ]]; }
show_requests() {
    echo "access log:"
    grep ' HTTP/1\.[01]" ' "$scratch/clearway.log" | sed -E -e 's/ \[[^]]*\]/ [TIME]/' -e 's|"curl/[^"]*"|"curl"|'
}
