"""Names that a function of C may bear beside <math.h>."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
# The words of C up to C23, and of C++ beside them, since the header may be included there.
KEYWORDS = _words("""
    auto break case char const continue default do double else enum extern float for goto if
    inline int long register restrict return short signed sizeof static struct switch typedef
    union unsigned void volatile while alignas alignof bool constexpr false nullptr
    static_assert thread_local true typeof typeof_unqual asm catch char8_t char16_t char32_t
    class concept consteval constinit const_cast co_await co_return co_yield decltype delete
    dynamic_cast explicit export friend mutable namespace new noexcept operator private
    protected public reinterpret_cast requires static_cast template this throw try typeid
    typename using virtual wchar_t and and_eq bitand bitor compl not not_eq or or_eq xor xor_eq
""")
# C99, 7.12: what <math.h> declares, each also with f and l behind it; and what a compiler knows of
# the other headers, which a function of another type may not bear either.
MATH = _words("""
    acos asin atan atan2 cos sin tan acosh asinh atanh cosh sinh tanh exp exp2 expm1 frexp ilogb
    ldexp log log10 log1p log2 logb modf scalbn scalbln cbrt fabs hypot pow sqrt erf erfc lgamma
    tgamma ceil floor nearbyint rint lrint llrint round lround llround trunc fmod remainder
    remquo copysign nan nextafter nexttoward fdim fmax fmin fma
""")
OTHERS = _words("""
    fpclassify isfinite isinf isnan isnormal signbit isgreater isgreaterequal isless islessequal
    islessgreater isunordered j0 j1 jn y0 y1 yn gamma main size_t ptrdiff_t offsetof abort abs
    alloca atexit bcmp bcopy bzero calloc exit fputc fputs fprintf fread free fscanf fwrite
    index isalnum isalpha isblank iscntrl isdigit isgraph islower isprint ispunct isspace
    isupper isxdigit labs llabs malloc memchr memcmp memcpy memmove memset printf putc putchar
    puts realloc rindex scanf snprintf sprintf sscanf strcasecmp strcat strchr strcmp strcpy
    strcspn strdup strlen strncasecmp strncat strncmp strncpy strpbrk strrchr strspn strstr
    tolower toupper vfprintf vfscanf vprintf vscanf vsnprintf vsprintf vsscanf
""")


def checked_name(name: str, *, given: bool) -> str:
    """The name, if a C function may bear it; else ValueError says why and what to do."""
    if not isinstance(name, str):
        raise TypeError(f"to_c: name is a string, not {type(name).__name__}")
    reason = _reason(name)
    if reason:
        origin = "" if given else ", the stem of the file"
        raise ValueError(f"to_c: {name!r}{origin}, {reason}: give name=, an identifier of C")
    return name


def _reason(name: str) -> str:
    if not IDENTIFIER.fullmatch(name):
        return "is no identifier of C (ASCII letters, digits and _, a letter first)"
    if name in KEYWORDS:
        return "is a word of C"
    if name in OTHERS or name in MATH or (name[-1] in "fl" and name[:-1] in MATH):
        return "is a name that C's library has already"
    return ""
