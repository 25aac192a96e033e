namespace Hydragen.Cpu;

/// <summary>
/// The few vector operations that every kernel is written in. A kernel is generic over an implementation, so the JIT compiles
/// it once for each width with all calls inlined.
/// </summary>
/// <typeparam name="V">The vector of FP32 lanes.</typeparam>
internal unsafe interface ISimd<V>
    where V : struct
{
    /// <summary>FP32 lanes: 4, 8 or 16.</summary>
    static abstract int Lanes { get; }

    static abstract V Load(float* source);

    static abstract void Store(float* destination, V value);

    /// <summary>Asks for a cache line that will be read soon; any address is allowed. Does nothing where there is no such instruction.</summary>
    static abstract void Prefetch(byte* address);

    static abstract V Broadcast(float value);

    /// <summary>0, 1, 2, …</summary>
    static abstract V Indices { get; }

    static abstract V Add(V left, V right);

    static abstract V Subtract(V left, V right);

    static abstract V Multiply(V left, V right);

    static abstract V Divide(V left, V right);

    /// <summary>left · right + addend, fused where the hardware can.</summary>
    static abstract V MultiplyAdd(V left, V right, V addend);

    /// <summary>The larger; <paramref name="right"/> when one of them is NaN on x86, NaN on Arm.</summary>
    static abstract V Max(V left, V right);

    /// <summary>The smaller; <paramref name="right"/> when one of them is NaN on x86, NaN on Arm.</summary>
    static abstract V Min(V left, V right);

    static abstract V RoundToEven(V value);

    static abstract float Sum(V value);

    static abstract float MaxAcross(V value);

    /// <summary>All bits set in the lanes where left is less than right.</summary>
    static abstract V LessThan(V left, V right);

    static abstract V Select(V mask, V ifSet, V ifClear);

    /// <summary>value · 2^exponent for integral exponents from −126 to 128 and a value in [0.5, 2).</summary>
    static abstract V ScaleByPowerOfTwo(V value, V exponent);

    static abstract V Bits(uint bits);

    static abstract V And(V left, V right);

    static abstract V Or(V left, V right);

    static abstract V AddBits(V left, V right);

    static abstract V SubtractBits(V left, V right);

    static abstract V ShiftLeft(V value, int count);

    /// <summary>Logical shift.</summary>
    static abstract V ShiftRight(V value, int count);

    /// <summary>Signed comparison of the lanes as integers.</summary>
    static abstract V LessThanBits(V left, V right);

    /// <summary>The larger of the lanes as signed integers.</summary>
    static abstract V MaxBits(V left, V right);

    /// <summary>Loads 16-bit patterns, zero-extended to 32-bit lanes.</summary>
    static abstract V LoadWidened(ushort* source);

    /// <summary>Stores the lower 16 bits of each lane, which must fit.</summary>
    static abstract void StoreNarrowed(ushort* destination, V value);

    /// <summary>Stores the lower 8 bits of each lane.</summary>
    static abstract void StoreBytes(byte* destination, V value);

    /// <summary>Rounds the lanes, taken as INT32, to FP32: to nearest, ties to even.</summary>
    static abstract V ConvertToSingle(V value);
}
