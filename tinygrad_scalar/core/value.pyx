"""`Value` as value.py has it, for the compiled node: floats are C doubles.

What few nodes have, numbers of another kind among it, stands in an object of its own, a
program's own attributes in a dict, as in any object of Python. Nodes are not tracked by the cyclic
collector, since a graph holds no cycle (one through a program's own attributes is never freed);
they are freed without recursion.
"""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.float cimport PyFloat_CheckExact
from cpython.long cimport PyLong_AsDouble
from cpython.ref cimport Py_INCREF, PyObject
from cpython.type cimport PyType_Modified
from libc.math cimport isfinite, pow as c_pow, signbit

from tinygrad_scalar.core import context, primitives
from tinygrad_scalar.core.arithmetic import METHODS, Arithmetic
from tinygrad_scalar.core.backward import backward
from tinygrad_scalar.core.documentation import NodeSignature, docstring
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.recorded import noted, record, refuse
from tinygrad_scalar.numbers.precision import is_number, number

COMPILED = True
cdef dict _context = vars(context)
cdef object _ADD = primitives.add, _SUB = primitives.sub, _MUL = primitives.mul
cdef object _DIV = primitives.div, _POW = primitives.pow, _NEG = primitives.neg
cdef object _RELU = primitives.relu, _LOG = primitives.log
cdef object _DELETED = object()
cdef object _NONE = object()  # a `data` or `grad` that is None
cdef list _dying = []  # the last references to nodes, to be let go of one after the other
cdef bint _freeing = False


cdef extern from "Python.h":
    ctypedef object (*ternaryfunc)(object, object, object)
    ctypedef object (*vectorcallfunc)(object, PyObject**, size_t, PyObject*)
    ctypedef struct PyTypeObject:
        PyObject* tp_dict
        ternaryfunc tp_call
        vectorcallfunc tp_vectorcall
        Py_ssize_t tp_dictoffset
    PyTypeObject PyType_Type
    Py_ssize_t PyVectorcall_NARGS(size_t)
    object PyObject_GenericGetDict(object, void*)
    int PyObject_GenericSetDict(object, object, void*) except -1
    void Py_CLEAR(PyObject*)


cdef bint _plain = context.plain


def _watch(plain):
    global _plain
    _plain = plain


context.watchers.append(_watch)


cdef inline long long _runs() except -1:
    return <object>PyDict_GetItemWithError(_context, "runs")


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Beside:
    pass


cdef inline Beside _beside_of(Value node):
    """What stands beside the node; it is made where it is asked for."""
    if node._beside is None:
        node._beside = Beside.__new__(Beside)
    return node._beside


cdef object _missing(Value node, str name):
    """As Python tells of a slot that was deleted."""
    return AttributeError(
        f"{type(node).__name__!r} object has no attribute {name!r}", name=name, obj=node
    )


cdef inline bint _is_float(Value node):
    """Whether a float is carried, and stands in `_result`."""
    return node._beside is None or node._beside.data is None


@cython.no_gc
cdef class Value(Recorded):
    """A real number in an expression, with the gradient of the last output that was differentiated.

    `data` is an int, float, bool, NumPy number, `Fraction` or mpmath `mpf`; what is carried stands
    in `numbers/precision.py`. `grad` is 0.0 until a `backward` comes by: a leaf adds up over calls,
    other nodes keep the last one's. Both may be written. Every operation makes a new node that
    knows its operands and, in `primitive`, its row; of a leaf that is None.
    Comparisons look at the data, hashing at the identity: `v in list` and `list.index(v)` find any
    node of equal data; a set, a dict or `any(v is x for x in list)` find this one.
    A program's own attributes may be set on it, and are copied and pickled with it.
    Cost O(1) per operation, about 200 bytes.

    Errors: TypeError for anything but a real number.
    Source: *Deep Learning*, section 6.5.1 (computational graphs).

    >>> apples, number, tax = Value(100.0), Value(2.0), Value(1.1)
    >>> price = apples * number * tax
    >>> table = price.backward()
    >>> round(price.data, 12), round(table[apples], 12), tax.grad
    (220.0, 2.2, 200.0)
    """

    __signature__ = NodeSignature()

    def __init__(self, data, _children=None, _op=None, *, label="", latex=""):
        if _children is not None or _op is not None:
            refuse('Value: one number (a name is label="x"), no _children or _op', TypeError)
        self.primitive = None
        self.data = data if type(data) is float else number(data)
        self._gradient = 0.0
        self._made = _runs()
        if self._beside is not None:
            self._beside.grad = self._beside.tracker = None
        if label:
            self.label = label
        if latex:
            self.latex = latex
        if not _plain:
            noted(self)

    def __dealloc__(self):
        """Let go of the parents one after the other, so that no depth of graph is recursion."""
        global _freeing
        if self._a is not None and (<PyObject*>self._a).ob_refcnt == 1:
            _dying.append(self._a)
        self._a = None
        if self._b is not None and (<PyObject*>self._b).ob_refcnt == 1:
            _dying.append(self._b)
        self._b = None
        if self._beside is not None and self._beside.rest is not None:
            _dying.append(self._beside.rest)
            self._beside.rest = None
        if self._own != NULL:
            _dying.append(<object>self._own)
            Py_CLEAR(self._own)
        if not _freeing and _dying:
            _freeing = True
            while _dying:
                _dying.pop()
            _freeing = False

    @property
    def __dict__(self):
        """A program's own attributes."""
        return PyObject_GenericGetDict(self, NULL)

    @__dict__.setter
    def __dict__(self, own):
        PyObject_GenericSetDict(self, own, NULL)

    @__dict__.deleter
    def __dict__(self):
        Py_CLEAR(self._own)

    @property
    def data(self):
        """The number carried."""
        if _is_float(self):
            return self._result
        if self._beside.data is _DELETED:
            raise _missing(self, "data")
        return self._beside.data if self._beside.data is not _NONE else None

    @data.setter
    def data(self, x):
        if type(x) is not float or self.primitive is not None:  # its result is kept
            _beside_of(self).data = _NONE if x is None else x
            return
        self._result = <double>x
        if self._beside is not None:
            self._beside.data = None

    @data.deleter
    def data(self):
        if _beside_of(self).data is _DELETED:
            raise AttributeError("data")
        self._beside.data = _DELETED

    @property
    def grad(self):
        """The gradient of the last output that was differentiated."""
        if float_grad(self):
            return self._gradient
        if self._beside.grad is _DELETED:
            raise _missing(self, "grad")
        return self._beside.grad if self._beside.grad is not _NONE else None

    @grad.setter
    def grad(self, x):
        if type(x) is float:
            set_grad(self, <double>x)
        else:
            _beside_of(self).grad = _NONE if x is None else x

    @grad.deleter
    def grad(self):
        if _beside_of(self).grad is _DELETED:
            raise AttributeError("grad")
        self._beside.grad = _DELETED

    @property
    def _tracker(self):
        return None if self._beside is None else self._beside.tracker

    @_tracker.setter
    def _tracker(self, tracker):
        if tracker is not None or self._beside is not None:
            _beside_of(self).tracker = tracker

    @property
    def _rest(self):
        return None if self._beside is None else self._beside.rest

    @_rest.setter
    def _rest(self, seen):
        _beside_of(self).rest = seen

    def backward(self, seed=1.0, *, inputs=None, create_graph=False, undefined="subgradient"):
        """Back-propagation: the gradient of this value with respect to every node below it.

        Algorithm 6.2 by topological order, without recursion: one multiplication and one addition
        per edge, O(edges) time, O(nodes) memory. Leaves get it added to their `.grad`, inner nodes
        keep this call's. With `inputs`, leaves or inner nodes, only what lies between is worked
        on, and only their `.grad` changes (added to).

        - `seed`: the gradient of this value itself.
        - `create_graph`: the table holds Values, computed by the same rows and differentiable.
        - `undefined`: what to do at kinks and undefined products, see `core/undefined.py`.

        Errors: TypeError for a seed or inputs of another type, ValueError for another `undefined`,
        UndefinedGradientError under `undefined="raise"`; nothing is written then.
        Threads: one at a time goes back over floats, so that a partial of your own must not wait
        for the backward of another thread.
        Source: *Deep Learning*, Algorithm 6.2.

        >>> x = Value(3.0, label="x")
        >>> (x * x + x).backward()[x]
        7.0
        """
        return backward(self, seed, inputs, create_graph, undefined)

    def _leaf(self, data):
        """A leaf of the kind that operations make."""
        return Value(data)

    def _computed(self, row, data, grad, seen):
        """This, which is blank, as a node that an operation made."""
        y, x, parents = seen
        self.grad, self.primitive, self._sweep = grad, row, 0
        self._a = self._b = None
        if row.arity not in (1, 2) or {type(data), type(y), *map(type, x)} != {float}:
            self._rest = seen
            if type(data) is float:
                self._result = data
            else:
                self.data = data
            return self
        self._result, self._x, self._a = y, x[0], parents[0]
        if row.arity == 2:
            self._y, self._b = x[1], parents[1]
        if data != y or signbit(data) != signbit(y):  # it was overwritten since
            self.data = data
        return self

    def _operation(self):
        """What the operation saw, whatever has become of its operands."""
        if self.primitive is None:
            return self.data, (), ()
        if self._a is None and self._b is None:
            return self._rest
        if self.primitive.arity == 1:
            return self._result, (self._x,), (self._a,)
        return self._result, (self._x, self._y), (self._a, self._b)

    @property
    def parents(self):
        """The Values this was computed from, in order and with repetition; () for a leaf."""
        if self.primitive is None:
            return ()
        if self._a is not None:
            return (self._a,) if self._b is None else (self._a, self._b)
        if self._b is not None:
            return (self._b,)
        return tuple([parent for parent in self._rest[2] if parent is not None])

    def apply(self, primitive, operands):
        """The primitive on Values and plain numbers: a new node, or several."""
        if primitive.arity == 1 and primitive.__class__ is Primitive:
            return unary(primitive, operands[0])
        node = several(primitive, operands)
        return record(primitive, operands) if node is None else node

    def log(self, base=None):
        """log x, or log x / log base."""
        # `Value.log(2.0)` comes here too: Cython looks at no `self`
        fast = base is None and type(self) is Value
        return unary(_LOG, self) if fast else Arithmetic.log(self, base)

    def __neg__(self):
        if type(self) is not Value or not _is_float(self) or not _plain:
            return unary(_NEG, self)
        return _node(_NEG, -self._result, self, None, self._result, 0.0)

    def __add__(self, other):
        return _binary(_ADD, self, other)

    def __radd__(self, other):
        return _binary(_ADD, other, self)

    def __sub__(self, other):
        return _binary(_SUB, self, other)

    def __rsub__(self, other):
        return _binary(_SUB, other, self)

    def __mul__(self, other):
        return _binary(_MUL, self, other)

    def __rmul__(self, other):
        return _binary(_MUL, other, self)

    def __truediv__(self, other):
        return _binary(_DIV, self, other)

    def __rtruediv__(self, other):
        return _binary(_DIV, other, self)

    def __pow__(self, exponent, modulo):
        return _general(_POW, self, exponent, modulo) if modulo is not None else _binary(_POW, self, exponent)

    def __rpow__(self, base, modulo):
        return _general(_POW, base, self, modulo) if modulo is not None else _binary(_POW, base, self)


cdef inline Value _node(object row, double y, Value a, Value b, double x, double z):
    """A node of one or two floats."""
    cdef Value node = Value.__new__(Value)
    node._result = y
    node.primitive = row
    node._a = a
    node._b = b
    node._x = x
    node._y = z
    return node


cdef object _binary(object row, object left, object right):
    """An operator on two Values, or a Value and a number; quick where both are floats."""
    cdef Value a = None, b = None
    cdef double x, y, result
    if not _plain:
        return _general(row, left, right, None)
    if type(left) is Value:
        a = <Value>left
        if not _is_float(a):
            return _general(row, left, right, None)
        x = a._result
    elif type(left) is float:
        x = <double>left
    elif type(left) is int:
        try:
            x = PyLong_AsDouble(left)
        except OverflowError:
            return _general(row, left, right, None)
    else:
        return _general(row, left, right, None)
    if type(right) is Value:
        b = <Value>right
        if not _is_float(b):
            return _general(row, left, right, None)
        y = b._result
    elif type(right) is float:
        y = <double>right
    elif type(right) is int:
        try:
            y = PyLong_AsDouble(right)
        except OverflowError:
            return _general(row, left, right, None)
    else:
        return _general(row, left, right, None)
    if row is _ADD:
        result = x + y
    elif row is _MUL:
        result = x * y
    elif row is _SUB:
        result = x - y
    elif row is _DIV:
        if y == 0.0:
            return _general(row, left, right, None)
        result = x / y
    else:
        result = c_pow(x, y)
        if not (isfinite(result) and x != 0.0):
            return _general(row, left, right, None)
    return _node(row, result, a, b, x, y)


cdef bint _silent():
    """Whether nothing is recorded here, and at most a tracker is told."""
    return context.settings().silent


cdef object _unrecorded(y, operands):
    """The leaf that an operation gives where nothing is recorded."""
    tracker = context.settings().tracker
    if tracker is not None:
        tracker.used(operands)
    return Value(y)  # which tells the tracker that it is made


cdef object _as_float(x):
    """An int, a bool, a numpy.float64, also one written to `.data`, as a float; else as it is."""
    try:
        return float(x) if isinstance(x, (int, float)) else x
    except OverflowError:
        return x  # told the general way


def unary(row, Value operand):
    """A node of one operand."""
    cdef bint recorded = _plain
    # a subclass may have a `data` of its own
    fast = type(operand) is Value and _is_float(operand)
    x = operand._result if fast else _as_float(operand.data)
    if type(x) is not float or not (recorded or _silent()):
        return record(row, (operand,))
    try:
        if row is _RELU and x == x:  # the commonest one, without a call
            y = x if x > 0.0 else 0.0
        else:
            y = row.forward(x)
    except TypeError:
        return record(row, (operand,))  # told there
    except (ArithmeticError, ValueError) as error:
        raise row.explained(error, (x,)) from None
    if type(y) is not float:
        return record(row, (operand,))
    if not recorded:
        return _unrecorded(y, (operand,))
    return _node(row, <double>y, operand, None, <double>x, 0.0)


def several(row, operands):
    """A node of several Values and floats; None where one is neither, or no node is due."""
    cdef Value operand
    cdef list values = [], parents = []
    cdef bint due = False
    cdef bint recorded = _plain
    if row.__class__ is not Primitive or not (recorded or _silent()):
        return None
    for x in operands:
        if type(x) is Value:
            operand = x
            x = operand._result if _is_float(operand) else _as_float(operand._beside.data)
            parents.append(operand)
            due = True
        else:
            x = _as_float(x)
            parents.append(None)
        if type(x) is not float:
            return None
        values.append(x)
    if not due:
        return None
    try:
        y = row.forward(*values)
    except TypeError:
        return None  # told the general way
    except (ArithmeticError, ValueError) as error:
        raise row.explained(error, values) from None
    if type(y) is not float:
        return None
    if not recorded:
        return _unrecorded(y, operands)
    if row.arity == 2:
        return _node(row, y, parents[0], parents[1], values[0], values[1])
    operand = Value.__new__(Value)
    operand._result = y
    operand.primitive = row
    _beside_of(operand).rest = y, tuple(values), tuple(parents)
    return operand


def _general(row, a, b, modulo):
    """An operator the general way; NotImplemented for strangers and carriers of a higher level."""
    if modulo is not None:
        raise TypeError("pow of a Value takes no third argument: write pow(x, y) % z")
    node = several(row, (a, b))  # of a bool or a numpy.float64
    if node is not None:
        return node
    for x in (a, b):  # a traced number passes for a Value where only isinstance is asked
        if not issubclass(type(x), Value) and not is_number(x):
            return NotImplemented
    return record(row, (a, b))


def _method(row):
    """A function of one operand as a method, which knows what carries it."""

    def method(self, *more):
        # the row refuses more, and takes what another mode carries: map(Value.exp, numbers)
        return unary(row, self) if type(self) is Value and not more else row(self, *more)

    method.__name__, method.__qualname__ = row.name, f"Value.{row.name}"
    method.__doc__ = docstring(row, method=True)
    return method


cdef object _called(object kind, PyObject** given, size_t count, PyObject* names):
    """`Value(x)` of a float, the commonest call, without a tuple of arguments; others as ever."""
    cdef Value leaf
    cdef Py_ssize_t i, positional = PyVectorcall_NARGS(count)
    if positional == 1 and names == NULL and PyFloat_CheckExact(<object>given[0]) and _plain:
        leaf = Value.__new__(Value)
        leaf._result = <double><object>given[0]
        leaf._made = _runs()
        return leaf
    arguments = tuple([<object>given[i] for i in range(positional)])
    options = {}
    if names != NULL:
        for i, name in enumerate(<tuple>names):
            options[name] = <object>given[positional + i]
    return PyType_Type.tp_call(kind, arguments, options)


cdef int _give(type kind, dict attributes) except -1:
    """Set attributes of a compiled class, which Python does not let one do."""
    (<dict>(<PyTypeObject*>kind).tp_dict).update(attributes)
    PyType_Modified(kind)
    return 0


_give(Arithmetic, {name: METHODS[name] for name in METHODS.keys() - vars(Arithmetic).keys()})
_give(Value, {
    name: _method(row) for name, row in METHODS.items()
    if row.arity == 1 and row.name == name and getattr(Value, name) is row
})
(<PyTypeObject*>Value).tp_vectorcall = _called


cdef int _keep_own_attributes() except -1:
    """Tell Python where the dict of a node is; Cython would make one at once for each."""
    cdef Value node = Value.__new__(Value)
    (<PyTypeObject*>Value).tp_dictoffset = <char*>&node._own - <char*><PyObject*>node
    PyType_Modified(Value)
    return 0


_keep_own_attributes()


# ── many at once, for compiled code (compiler/machine/slots.py) ───────────────────────────────
def gather(size_t places, Py_ssize_t count, Py_ssize_t gradients, size_t out):
    """Copy the floats of nodes at these places to `out`; of how many, up to one that is no float."""
    cdef PyObject **nodes = <PyObject **>places
    cdef double *numbers = <double *>out
    cdef Value node
    for i in range(count):
        node = <Value><object>nodes[i]
        if not (float_grad(node) if gradients else _is_float(node)):
            return i
        numbers[i] = node._gradient if gradients else node._result
    return count


def scatter(size_t places, Py_ssize_t count, Py_ssize_t gradients, size_t given, double scale):
    """Set these floats, or add what is given times `scale`; nothing unless all are floats."""
    cdef PyObject **nodes = <PyObject **>places
    cdef double *numbers = <double *>given
    cdef double number
    cdef Value node
    for i in range(count):
        node = <Value><object>nodes[i]
        if not (float_grad(node) if gradients else _is_float(node) and node.primitive is None):
            return i
    for i in range(count):
        node = <Value><object>nodes[i]
        number = numbers[i]
        if scale != 0.0:
            number = (node._gradient if gradients else node._result) + number * scale
        if gradients:
            node._gradient = number
        else:
            node._result = number
    return count
