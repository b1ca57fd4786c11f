# shellcheck shell=bash disable=SC2034
# (what is set here and used by the commands only)
# Shared by the commands in scripts/; not a command itself.

set -euo pipefail
shopt -s inherit_errexit nullglob

export PATH=/usr/bin:/bin:/usr/sbin:/sbin:$PATH LC_ALL=C.UTF-8
ME=$(basename "$0")

say() { printf '%s\n' "$*" >&2; }
die() {
	trap - ERR
	say "$ME: $*"
	exit 1
}

# make takes no path with a space, a colon or a "#", and other characters mean
# something to sed, QEMU or git.  A clone in such a folder goes by a link in a
# folder of the user's cache, beside which its build/ is.
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
plain_path() { [[ $1 != *[^[:alnum:]/._+@~-]* ]]; }
if ! plain_path "$TOP"; then
	elsewhere=${XDG_CACHE_HOME:-${HOME:?}/.cache}/dma-buf-heaps/$(sha256sum <<<"$TOP" | cut -c1-16)
	mkdir -p "$elsewhere/build" || die "cannot write to $elsewhere"
	ln -sfT "$TOP" "$elsewhere/clone"
	# a link that is there may be the user's own, to another disk
	if [ ! -L "$TOP/build" ]; then
		ln -sT "$elsewhere/build" "$TOP/build" || die "$TOP/build is to be a link to $elsewhere/build;" \
			"move or remove the folder that is there"
	fi
	TOP=$elsewhere/clone
fi
mkdir -p "$TOP/build/log" 2>/dev/null || die "cannot write to $TOP/build"
touch "$TOP/build/.gitignore" 2>/dev/null || die "cannot write to $TOP/build"
BUILD=$(cd "$TOP/build" && pwd -P)
plain_path "$TOP$BUILD" || die "make takes no folder like $BUILD;" \
	"set XDG_CACHE_HOME to one with nothing but letters, digits and /._+@~- in its path"
LINUX=$BUILD/linux
# The base alone and what is built of it. A tree and its objects are neighbours,
# there as in build/: the commands of both builds are then the same, and ccache
# serves one with what it kept of the other. The environment can name a folder with
# another kernel's tree in its place.
BASE_BUILD=${BASE_BUILD:-$BUILD/base}
SERIES=$TOP/series
PATCHES=$TOP/patches
JOBS=$(($(nproc) + 1))
export GIT_CONFIG_GLOBAL=$TOP/scripts/gitconfig GIT_CONFIG_SYSTEM=/dev/null
# git must not take the repository around build/ for one that is missing there
export GIT_CEILING_DIRECTORIES=$BUILD
export GIT_OPTIONAL_LOCKS=0 GIT_EDITOR=: GIT_PAGER=cat
# What ccache keeps is in the user's own place, unless there is none, and serves
# every clone: neither the folder nor user, host and time get into an object.
[ -n "${CCACHE_DIR:-}" ] || [ -w "${HOME:-}" ] || export CCACHE_DIR=$BUILD/ccache
# Not in the depend mode: that does not see that a file includes others by .incbin, and
# a kernel could have another one's image in it. The namespace leaves behind what it kept.
export CCACHE_NODEPEND=1 CCACHE_BASEDIR=$BUILD CCACHE_NOHASHDIR=1 CCACHE_NAMESPACE=dma-buf-heaps
export KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=heaps KBUILD_BUILD_HOST=heaps
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE MAKEFLAGS KBUILD_OUTPUT ARCH CROSS_COMPILE

trap 'die "interrupted"' INT TERM HUP
trap 'die "stopped at ${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND"' ERR
set -E

# usage: print the "#: " lines of the command itself
usage() {
	sed -n 's/^#: \{0,1\}//p' "$0"
	exit "${1:-0}"
}

badarg() {
	say "$ME: what is '$1'? See $ME --help"
	exit 2
}

# ---- Debian packages ------------------------------------------------------

as_root() { [ "$(id -u)" = 0 ]; }

# need PACKAGE...: install what is missing when root, name it otherwise
need() {
	local p missing=()

	command -v dpkg-query >/dev/null || return 0
	for p; do
		dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null | grep -q '^.i' || missing+=("$p")
	done
	[ ${#missing[@]} = 0 ] && return 0
	as_root || die "these Debian packages are missing; as root: apt-get install ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	run "apt-get install ${missing[*]}" apt_install "${missing[@]}" </dev/null
}

apt_install() {
	apt-get -qq update || echo "apt-get update failed; trying with the lists at hand"
	# wait for another apt (unattended-upgrades on a fresh machine); fail rather than
	# remove what somebody needs
	apt-get -qy -o DPkg::Lock::Timeout=600 install --no-install-recommends --no-remove "$@"
}

# ---- running things -------------------------------------------------------

# lock: one run at a time uses build/
lock() {
	[ "${HEAPS_LOCKED:-}" = "$BUILD" ] && return 0
	exec 9>"$BUILD/.lock"
	flock -n 9 || die "another run is using $BUILD; wait for it to end"
	export HEAPS_LOCKED=$BUILD
}

# want_space GIGABYTES: fail before the disk is full rather than after
want_space() {
	local free

	free=$(df -Pk "$BUILD" | awk 'NR == 2 { print int($4 / 1048576) }')
	[ "$free" -ge "$1" ] || die "$BUILD has $free GB free and this step needs $1 GB"
}

# run LABEL COMMAND...: output goes to a log, the terminal sees progress.
# The log's path is printed when the command fails.
run() {
	local label=$1 log pid start=$SECONDS rc=0 note
	shift

	log=$BUILD/log/$(printf %.60s "$label" | tr -c 'A-Za-z0-9._\n-' _).log
	set -m # a process group of its own, which an interrupt ends as a whole
	"$@" >"$log" 2>&1 </dev/null &
	set +m
	pid=$!
	trap 'kill -TERM -- "-$pid" 2>/dev/null; die "interrupted"' INT TERM HUP
	if [ -t 2 ]; then
		while kill -0 "$pid" 2>/dev/null; do
			note=$(tail -n 1 "$log" 2>/dev/null | tr -d '\r' | tr -c '[:print:]' ' ' || true)
			printf '\r\033[K%.*s' "$(($(tput cols 2>/dev/null || echo 80) - 1))" \
				"  $label: $((SECONDS - start)) s  $note" >&2
			sleep 0.5
		done
		printf '\r\033[K' >&2
	fi
	wait "$pid" || rc=$?
	trap 'die "interrupted"' INT TERM HUP
	if [ $rc != 0 ]; then
		tail -n "${LOG_TAIL:-15}" "$log" | sed 's/^/    /' >&2
		die "$label failed; the whole log is $log"
	fi
	say "  $label ($((SECONDS - start)) s)"
}

# ---- Debian packages that are read, not installed ---------------------------

# mirrors: the machine's own sources that carry a main section
mirrors() {
	apt-get indextargets --format "\$(COMPONENT) \$(RELEASE) \$(REPO_URI)" 'Created-By: Packages' |
		awk '$1 == "main" && $2 !~ /security|nodistro/ && !seen[$3]++ { print $3 }'
}

# papt SUITE COMMAND ARGS...: apt with lists and settings of our own, that
# trusts Debian's keyring alone and leaves the machine's state as it was.
# APT_ARCH is the architecture asked for.
papt() {
	local suite=$1 tool=$2 dir=$BUILD/apt
	shift 2

	"$tool" -o Dir::State="$dir/$suite" -o Dir::Cache="$dir/$suite" \
		-o Dir::State::status=/dev/null \
		-o Dir::Etc::SourceList="$dir/$suite/list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
		-o APT::Architecture="${APT_ARCH:=$(dpkg --print-architecture)}" \
		-o APT::Architectures="$APT_ARCH" -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}

# suite_lists SUITE: fetch the package lists of a suite, from the first of
# the machine's mirrors that has them
suite_lists() {
	local suite=$1 dir=$BUILD/apt/$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg uri

	[ -f "$keyring" ] || die "Debian's keyring is missing; as root: apt-get install debian-archive-keyring"
	for uri in $(mirrors); do
		rm -rf "$dir"
		mkdir -p "$dir/lists/partial" "$dir/archives/partial"
		echo "deb [signed-by=$keyring] $uri $suite main" >"$dir/list"
		papt "$suite" apt-get -qq -o APT::Update::Error-Mode=any update >>"$BUILD/log/apt.log" 2>&1 && return 0
	done
	return 1
}

# debian_file ARCH PACKAGE MEMBER FILE: one file out of a package of this
# machine's release, for another architecture
debian_file() {
	local APT_ARCH=$1 dir=$BUILD/apt suite deb

	need apt debian-archive-keyring dpkg
	# shellcheck source=/dev/null
	suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
	suite_lists "$suite" || { echo "no Debian mirror could be asked for $2 ($1)"; return 1; }
	(cd "$dir/$suite" && papt "$suite" apt-get -q download "$2")
	deb=$(printf '%s\n' "$dir/$suite/$2"_*.deb)
	dpkg-deb --fsys-tarfile "$deb" | tar -xOf - "$3" >"$4.tmp"
	rm -rf "$dir"
	chmod 755 "$4.tmp"
	mv "$4.tmp" "$4"
}

# ---- the series -----------------------------------------------------------

# topics: their names in order, from the "# topic NAME: ..." lines of series
topics() { sed -n 's/^# topic \([a-z0-9-]*\):.*/\1/p' "$SERIES"; }

# topic_patches [TOPIC]: the patches of one topic, or of all, as in series
topic_patches() { sed -n "s,^\(${1:-[a-z0-9-]*}/.*[.]patch\)\$,\1,p" "$SERIES"; }

# series_id: changes whenever a patch, their order or the topics do
series_id() {
	(cd "$PATCHES" && { cat "$SERIES"; topic_patches | xargs -r cat; }) | sha256sum | cut -d' ' -f1
}

# patches_id: changes whenever a patch or their order does
patches_id() {
	(cd "$PATCHES" && { topic_patches; topic_patches | xargs -r cat; }) | sha256sum | cut -d' ' -f1
}

# EXPORTED: what scripts/export writes; cover letters are beside the patches
EXPORTED=(series patches drivers include tools Documentation MAINTAINERS.fragment)

# exported_id: changes whenever one of these files does
exported_id() {
	(cd "$TOP" && find "${EXPORTED[@]}" -type f ! -name cover-letter.txt -print0 2>/dev/null | sort -z |
		xargs -0r sha256sum) | sha256sum | cut -d' ' -f1
}

# kernel_version TREE: what its Makefile says
kernel_version() {
	awk -F' *= *' '/^VERSION =/ { v = $2 } /^PATCHLEVEL =/ { p = $2 }
		/^SUBLEVEL =/ { s = $2 } /^EXTRAVERSION =/ { print v "." p "." s $2; exit }' "$1/Makefile" 2>/dev/null
}

# state KEY [VALUE]: what build/linux was made from
state() {
	if [ $# = 2 ]; then
		mkdir -p "$LINUX/.git/heaps"
		printf '%s\n' "$2" >"$LINUX/.git/heaps/$1"
	else
		cat "$LINUX/.git/heaps/$1" 2>/dev/null || true
	fi
}

# unexported: does build/linux hold work that patches/ does not?
unexported() {
	if [ ! -d "$LINUX/.git/heaps" ]; then
		[ ! -e "$LINUX" ] || die "$LINUX was not made by scripts/tree; move it away"
		return 1
	fi
	[ -n "$(git -C "$LINUX" status --porcelain --untracked-files=all | head -n 1)" ] && return 0
	# stashes, and branches of one's own, unless scripts/tree was interrupted
	git -C "$LINUX" rev-parse -q --verify refs/stash >/dev/null && return 0
	[ -n "$(state tip)" ] || return 1
	git -C "$LINUX" for-each-ref --no-merged HEAD refs/heads | grep -qv 'refs/heads/b4-check$' && return 0
	[ "$(git -C "$LINUX" rev-parse HEAD)" != "$(state tip)" ]
}

# ---- variants -------------------------------------------------------------

VARIANTS="x86_64 x86_64-debug x86_64-nolegacy x86_64-small arm64 arm64-nolegacy arm64-16k arm"
BUILD_PACKAGES=(bc binutils bison ccache cpio flex gcc libc6-dev libelf-dev
	libssl-dev make perl procps python3 rsync xz-utils git)
PICTURE_PACKAGES=(device-tree-compiler gcc-arm-linux-gnueabihf libc6-dev-armhf-cross qemu-system-arm)

CHECK_PACKAGES=(git quilt b4 patch perl codespell python3 python3-git python3-ply python3-sphinx python3-yaml sparse shellcheck)

# variant NAME: sets V_ARCH, V_CROSS, V_IMAGE, V_FRAGMENTS, V_PACKAGES
variant() {
	local machine=${1%%-*} extra=${1#"${1%%-*}"}

	case $1 in
	x86_64|x86_64-debug|x86_64-nolegacy|x86_64-small|arm64|arm64-nolegacy|arm64-16k|arm) [ "$(uname -m)" = x86_64 ] || die "kernels are built on x86_64 machines only" ;;
	*) die "there is no variant '$1'; there are: $VARIANTS" ;;
	esac
	V_FRAGMENTS=(common "$machine" ${extra:+"${extra#-}"})
	V_PACKAGES=("${BUILD_PACKAGES[@]}")
	case $machine in
	x86_64) V_ARCH=x86_64 V_CROSS='' V_IMAGE=arch/x86/boot/bzImage ;;
	arm64) V_ARCH=arm64 V_CROSS=aarch64-linux-gnu- V_IMAGE=arch/arm64/boot/Image
		V_PACKAGES+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-arm-linux-gnueabihf libc6-dev-armhf-cross) ;;
	arm) V_ARCH=arm V_CROSS=arm-linux-gnueabihf- V_IMAGE=arch/arm/boot/zImage
		V_PACKAGES+=(gcc-arm-linux-gnueabihf libc6-dev-armhf-cross) ;;
	esac
}

# compiler: of the variant chosen last; V_LLVM is empty, or the suffix of clang's tools
compiler() { if [ -n "${V_LLVM:-}" ]; then echo "clang$V_LLVM"; else echo "${V_CROSS}gcc"; fi; }

# kmake SOURCE OBJECTS ARGS...: make for the variant chosen last
kmake() {
	local src=$1 obj=$2
	shift 2

	make -C "$src" O="$obj" ARCH="$V_ARCH" CROSS_COMPILE="$V_CROSS" ${V_LLVM:+LLVM="$V_LLVM"} \
		CC="ccache $(compiler)" -j"$JOBS" "$@"
}

# configure SOURCE OBJECTS FRAGMENT...: tinyconfig (or V_CONFIG) plus fragments, of
# which the last word on a symbol counts; each must be set as asked in the end
configure() {
	local src=$1 obj=$2 want bad=''
	shift 2

	kmake "$src" "$obj" "${V_CONFIG:-tinyconfig}"
	"$src/scripts/kconfig/merge_config.sh" -m -O "$obj" "$obj/.config" "$@"
	kmake "$src" "$obj" olddefconfig
	while read -r want; do
		case $want in
		*=n) ! grep -q "^${want%=n}=" "$obj/.config" || bad+=" $want" ;;
		*) grep -qxF "$want" "$obj/.config" || bad+=" $want" ;;
		esac
	done < <(sed -n 's/^# \(CONFIG_[A-Za-z0-9_]*\) is not set$/\1=n/p; /^CONFIG_/p' "$@" |
		tac | awk -F= '!seen[$1]++')
	[ -z "$bad" ] || { echo "these symbols could not be set as asked:$bad"; return 1; }
}

# known_symbols TREE FRAGMENT...: the lines on symbols that the tree's folders of
# the series have; the base and the first topics lack some
known_symbols() {
	local tree=$1 line symbol
	shift

	cat "$@" | while read -r line; do
		symbol=$(sed -n 's/^\(# \)\{0,1\}CONFIG_\([A-Z0-9_]*\).*/\2/p' <<<"$line")
		if [ -n "$symbol" ] && grep -qrE "^(menu)?config $symbol\$" "$tree/drivers/dma-buf" "$tree/kernel/dma" "$tree/drivers/tee"; then
			echo "$line"
		fi
	done
}

# worktree_at DIR COMMIT: a second work tree of build/linux
worktree_at() {
	if ! git -C "$1" rev-parse -q --verify HEAD >/dev/null 2>&1; then
		rm -rf "$1"
		git -C "$LINUX" worktree prune
		git -C "$LINUX" worktree add -q --detach "$1" "$2"
	fi
	git -C "$1" checkout -q --force --detach "$2"
}

# targets TREE: for make, the folders the series is at home in, and the files it
# touches elsewhere: on x86_64, where nearly all of them are configured, and on arm64;
# the folders of these files, where all is configured that a machine has
targets() {
	local home=(drivers/dma-buf drivers/tee kernel/dma) arm64=(drivers/iommu/arm drivers/xen) t
	local shared=(mm fs/proc drivers/iommu drivers/gpu/drm/exynos)

	{
		printf '%s/\n' "${home[@]}"
		case ${V_CONFIG:-$V_ARCH} in
		allmodconfig) printf '%s/\n' "${shared[@]}" ;;
		x86_64) git -C "$LINUX" diff --name-only --no-renames --diff-filter=AM base HEAD -- '*.c' \
			':!tools' ':!samples' ':!Documentation' "${home[@]/#/:!}" "${arm64[@]/#/:!}" ;;
		arm64) git -C "$LINUX" diff --name-only --no-renames --diff-filter=AM base HEAD -- "${arm64[@]/%//*.c}" ;;
		esac | sed 's/c$/o/'
	} | while read -r t; do
		if [ -e "$1/${t%.o}" ] || [ -e "$1/${t%.o}.c" ]; then echo "$t"; fi
	done
}

# ---- results ----------------------------------------------------------------

KTAP_N=0 KTAP_FAILED=0

ktap_header() { printf 'KTAP version 1\n1..%d\n' "$1"; }

# ktap NAME COMMAND...: one result, and "# time SECONDS NAME" before it.  What the
# command prints is shown when it fails.  It runs with errexit in force, and
# therefore in the background: a subshell in a condition would not have it.
ktap() {
	local name=$1 log start=$SECONDS rc=0 pid
	shift

	log=$BUILD/log/$(printf %.60s "$ME-$name" | tr -c 'A-Za-z0-9._\n-' _).log
	KTAP_N=$((KTAP_N + 1))
	set -m
	(trap - ERR; set -e; "$@") >"$log" 2>&1 </dev/null &
	set +m
	pid=$!
	trap 'kill -TERM -- "-$pid" 2>/dev/null; die "interrupted"' INT TERM HUP
	wait "$pid" || rc=$?
	trap 'die "interrupted"' INT TERM HUP
	printf '# time %d %s\n' $((SECONDS - start)) "$name"
	case $rc in
	0) printf 'ok %d %s\n' "$KTAP_N" "$name" ;;
	4) printf 'ok %d %s # SKIP %s\n' "$KTAP_N" "$name" "$(tail -n 1 "$log")" ;;
	*) sed 's/^/# /' "$log" | tail -n 40
		printf 'not ok %d %s\n' "$KTAP_N" "$name"
		KTAP_FAILED=1 ;;
	esac
}

# ktap_nest NAME: the document on standard input as the subtests of NAME
ktap_nest() {
	awk -v name="$1" '/^KTAP version/ && !seen++ { print "    " $0 "\n    # Subtest: " name; next }
		{ print "    " $0 }'
}
