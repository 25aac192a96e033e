using System.Runtime.CompilerServices;

namespace Hydragen.Cpu;

/// <summary>One, two or four vectors side by side: a row of a register tile.</summary>
internal unsafe interface IColumns<TSelf, S, V>
    where TSelf : struct, IColumns<TSelf, S, V>
    where S : struct, ISimd<V>
    where V : struct
{
    /// <summary>Loads FP32 vectors that follow each other.</summary>
    static abstract TSelf Load(float* source);

    /// <summary>Loads vectors that lie <paramref name="stride"/> elements apart.</summary>
    static abstract TSelf Load<T>(byte* source, nint stride)
        where T : struct, IStorage;

    /// <summary>Asks for the cache lines of vectors that lie <paramref name="stride"/> elements apart.</summary>
    static abstract void Prefetch<T>(byte* source, nint stride)
        where T : struct, IStorage;

    static abstract void Store(float* destination, TSelf value);

    static abstract TSelf Add(TSelf left, TSelf right);

    static abstract TSelf MultiplyAdd(V factor, TSelf columns, TSelf addend);
}

/// <summary>One vector.</summary>
internal unsafe struct Columns1<S, V> : IColumns<Columns1<S, V>, S, V>
    where S : struct, ISimd<V>
    where V : struct
{
    private V _0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Columns1<S, V> Load(float* source) => new() { _0 = S.Load(source) };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Columns1<S, V> Load<T>(byte* source, nint stride)
        where T : struct, IStorage => new() { _0 = T.Load<S, V>(source, 0) };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch<T>(byte* source, nint stride)
        where T : struct, IStorage
    {
        S.Prefetch(source);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* destination, Columns1<S, V> value) => S.Store(destination, value._0);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Columns1<S, V> Add(Columns1<S, V> left, Columns1<S, V> right) => new() { _0 = S.Add(left._0, right._0) };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Columns1<S, V> MultiplyAdd(V factor, Columns1<S, V> columns, Columns1<S, V> addend) =>
        new() { _0 = S.MultiplyAdd(factor, columns._0, addend._0) };
}

/// <summary>Two vectors.</summary>
internal unsafe struct Columns2<S, V> : IColumns<Columns2<S, V>, S, V>
    where S : struct, ISimd<V>
    where V : struct
{
    private V _0, _1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Columns2<S, V> Load(float* source) => new() { _0 = S.Load(source), _1 = S.Load(source + S.Lanes) };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Columns2<S, V> Load<T>(byte* source, nint stride)
        where T : struct, IStorage => new() { _0 = T.Load<S, V>(source, 0), _1 = T.Load<S, V>(source, stride) };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch<T>(byte* source, nint stride)
        where T : struct, IStorage
    {
        S.Prefetch(source);
        S.Prefetch(source + stride * T.Size);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* destination, Columns2<S, V> value)
    {
        S.Store(destination, value._0);
        S.Store(destination + S.Lanes, value._1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Columns2<S, V> Add(Columns2<S, V> left, Columns2<S, V> right) => new()
    {
        _0 = S.Add(left._0, right._0),
        _1 = S.Add(left._1, right._1),
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Columns2<S, V> MultiplyAdd(V factor, Columns2<S, V> columns, Columns2<S, V> addend) => new()
    {
        _0 = S.MultiplyAdd(factor, columns._0, addend._0),
        _1 = S.MultiplyAdd(factor, columns._1, addend._1),
    };
}

/// <summary>Four vectors: as many fields as the JIT keeps in registers.</summary>
internal unsafe struct Columns4<S, V> : IColumns<Columns4<S, V>, S, V>
    where S : struct, ISimd<V>
    where V : struct
{
    private V _0, _1, _2, _3;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Columns4<S, V> Load(float* source) => new()
    {
        _0 = S.Load(source),
        _1 = S.Load(source + S.Lanes),
        _2 = S.Load(source + 2 * S.Lanes),
        _3 = S.Load(source + 3 * S.Lanes),
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Columns4<S, V> Load<T>(byte* source, nint stride)
        where T : struct, IStorage => new()
        {
            _0 = T.Load<S, V>(source, 0),
            _1 = T.Load<S, V>(source, stride),
            _2 = T.Load<S, V>(source, 2 * stride),
            _3 = T.Load<S, V>(source, 3 * stride),
        };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch<T>(byte* source, nint stride)
        where T : struct, IStorage
    {
        S.Prefetch(source);
        S.Prefetch(source + stride * T.Size);
        S.Prefetch(source + 2 * stride * T.Size);
        S.Prefetch(source + 3 * stride * T.Size);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* destination, Columns4<S, V> value)
    {
        S.Store(destination, value._0);
        S.Store(destination + S.Lanes, value._1);
        S.Store(destination + 2 * S.Lanes, value._2);
        S.Store(destination + 3 * S.Lanes, value._3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Columns4<S, V> Add(Columns4<S, V> left, Columns4<S, V> right) => new()
    {
        _0 = S.Add(left._0, right._0),
        _1 = S.Add(left._1, right._1),
        _2 = S.Add(left._2, right._2),
        _3 = S.Add(left._3, right._3),
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Columns4<S, V> MultiplyAdd(V factor, Columns4<S, V> columns, Columns4<S, V> addend) => new()
    {
        _0 = S.MultiplyAdd(factor, columns._0, addend._0),
        _1 = S.MultiplyAdd(factor, columns._1, addend._1),
        _2 = S.MultiplyAdd(factor, columns._2, addend._2),
        _3 = S.MultiplyAdd(factor, columns._3, addend._3),
    };
}
