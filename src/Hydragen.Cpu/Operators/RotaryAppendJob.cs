using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Norms and rotates query and key heads by rows, writes queries out and keys and values into the cache.</summary>
internal abstract unsafe class RotaryAppendJob : RowJob
{
    public byte* QueryKeyValue;
    public AttentionShape Shape = null!;
    public RotaryTable? Rotary;

    /// <summary>FP32 <c>[headDim]</c>, or null.</summary>
    public float* QueryWeight;

    /// <summary>FP32 <c>[headDim]</c>, or null.</summary>
    public float* KeyWeight;
    public float Epsilon;
    public int* Positions;
    public int* Slots;
    public ElementConverter Converter = null!;
    public CpuKvCache Cache = null!;
    public int Layer;
    public byte* Query;
    public ElementType QueryType;
}

/// <inheritdoc/>
internal sealed unsafe class RotaryAppendJob<S, V> : RotaryAppendJob
    where S : struct, ISimd<V>
    where V : struct
{
    protected override void Rows<T>(int first, int end)
    {
        for (int row = first; row < end; row++) Row<T>(row);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Row<T>(int row)
        where T : struct, IStorage
    {
        float* result = stackalloc float[AttentionShape.MaxHeadDim];
        float* value = stackalloc float[AttentionShape.MaxHeadDim];
        int headDim = Shape.HeadDim, querySize = QueryType.SizeInBytes(), headBytes = headDim * T.Size;
        float* factors = Rotary is null ? null : Rotary.Factors(Positions[row]);
        byte* head = QueryKeyValue + (nint)row * (Shape.NumHeads + 2 * Shape.NumKvHeads) * headBytes;
        byte* query = Query + (nint)row * Shape.NumHeads * headDim * querySize;
        for (int i = 0; i < Shape.NumHeads; i++, head += headBytes, query += headDim * querySize)
        {
            if (QueryType == ElementType.Float32)
            {
                Transform<T>(head, QueryWeight, factors, (float*)query);
                continue;
            }
            Transform<T>(head, QueryWeight, factors, result);
            Converter.FromSingle(result, query, QueryType, headDim);
        }
        byte* valueHead = head + Shape.NumKvHeads * headBytes;
        for (int i = 0; i < Shape.NumKvHeads; i++, head += headBytes, valueHead += headBytes)
        {
            Transform<T>(head, KeyWeight, factors, result);
            Rotate<T>(valueHead, null, 0, value);
            Cache.Append(Converter, Layer, i, Slots[row], result, value);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Transform<T>(byte* head, float* weight, float* factors, float* result)
        where T : struct, IStorage
    {
        int numPairs = factors == null ? 0 : Rotary!.NumPairs;
        if (weight == null)
        {
            Rotate<T>(head, factors, numPairs, result);
            return;
        }
        Norm<T>(head, weight, result);
        if (numPairs > 0) Rotate<Float32Storage>((byte*)result, factors, numPairs, result);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Norm<T>(byte* head, float* weight, float* result)
        where T : struct, IStorage
    {
        int headDim = Shape.HeadDim;
        V sum = default;
        for (int i = 0; i < headDim; i += S.Lanes)
        {
            V value = Partial<S, V>.Load<T>(head, i, headDim - i);
            sum = S.MultiplyAdd(value, value, sum);
        }
        V factor = S.Broadcast(1 / MathF.Sqrt(S.Sum(sum) / headDim + Epsilon));
        for (int i = 0; i < headDim; i += S.Lanes)
        {
            int count = headDim - i;
            V value = S.Multiply(Partial<S, V>.Load<T>(head, i, count), factor);
            value = S.Multiply(value, Partial<S, V>.Load<Float32Storage>((byte*)weight, i, count));
            Partial<S, V>.Store<Float32Storage>((byte*)result, i, value, count);
        }
    }

    /// <summary>Rotates the pairs and copies the elements behind them; in place allowed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Rotate<T>(byte* head, float* factors, int numPairs, float* result)
        where T : struct, IStorage
    {
        for (int i = 0; i < numPairs; i += S.Lanes)
        {
            int count = numPairs - i;
            V cos = Partial<S, V>.Load<Float32Storage>((byte*)factors, i, count);
            V sin = Partial<S, V>.Load<Float32Storage>((byte*)factors, numPairs + i, count);
            V first = Partial<S, V>.Load<T>(head, i, count);
            V second = Partial<S, V>.Load<T>(head, numPairs + i, count);
            V rotatedFirst = S.MultiplyAdd(first, cos, S.Subtract(default, S.Multiply(second, sin)));
            V rotatedSecond = S.MultiplyAdd(second, cos, S.Multiply(first, sin));
            Partial<S, V>.Store<Float32Storage>((byte*)result, i, rotatedFirst, count);
            Partial<S, V>.Store<Float32Storage>((byte*)result, numPairs + i, rotatedSecond, count);
        }
        for (int i = 2 * numPairs; i < Shape.HeadDim; i += S.Lanes)
        {
            int count = Shape.HeadDim - i;
            Partial<S, V>.Store<Float32Storage>((byte*)result, i, Partial<S, V>.Load<T>(head, i, count), count);
        }
    }
}
