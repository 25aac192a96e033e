using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Norms and rotates query and key heads by rows, writes queries out and keys and values into the cache.</summary>
internal abstract unsafe class RotaryAppendJob : Job
{
    public byte* QueryKeyValue;
    public ElementType InputType;
    public AttentionShape Shape = null!;
    public RotaryTable? Rotary;

    /// <summary>FP32 <c>[headDim]</c>, or null.</summary>
    public float* QueryWeight;

    /// <summary>FP32 <c>[headDim]</c>, or null.</summary>
    public float* KeyWeight;
    public float Epsilon;
    public int* Positions;
    public int* Slots;
    public int NumRows;
    public int RowsPerItem;
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
    public override void Execute(int item, int worker)
    {
        float* key = stackalloc float[2 * AttentionShape.MaxHeadDim];
        float* value = key + AttentionShape.MaxHeadDim;
        int headDim = Shape.HeadDim, inputSize = InputType.SizeInBytes(), querySize = QueryType.SizeInBytes();
        int end = Math.Min(NumRows, (item + 1) * RowsPerItem);
        for (int row = item * RowsPerItem; row < end; row++)
        {
            float* factors = Rotary is null ? null : Rotary.Factors(Positions[row]);
            byte* head = QueryKeyValue + (nint)row * (Shape.NumHeads + 2 * Shape.NumKvHeads) * headDim * inputSize;
            byte* query = Query + (nint)row * Shape.NumHeads * headDim * querySize;
            for (int i = 0; i < Shape.NumHeads; i++, head += headDim * inputSize, query += headDim * querySize)
            {
                Converter.ToSingle(head, InputType, key, headDim);
                NormAndRotate(key, QueryWeight, factors);
                Converter.FromSingle(key, query, QueryType, headDim);
            }
            byte* valueHead = head + (nint)Shape.NumKvHeads * headDim * inputSize;
            for (int i = 0; i < Shape.NumKvHeads; i++, head += headDim * inputSize, valueHead += headDim * inputSize)
            {
                Converter.ToSingle(head, InputType, key, headDim);
                NormAndRotate(key, KeyWeight, factors);
                Converter.ToSingle(valueHead, InputType, value, headDim);
                Cache.Append(Converter, Layer, i, Slots[row], key, value);
            }
        }
    }

    private void NormAndRotate(float* head, float* weight, float* factors)
    {
        if (weight != null) Norm(head, weight);
        if (factors != null) Rotate(head, factors, factors + Rotary!.NumPairs, Rotary.NumPairs);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Norm(float* head, float* weight)
    {
        int headDim = Shape.HeadDim;
        V sum = default;
        for (int i = 0; i < headDim; i += S.Lanes)
        {
            V value = Partial<S, V>.Load<Float32Storage>((byte*)head, i, headDim - i);
            sum = S.MultiplyAdd(value, value, sum);
        }
        V factor = S.Broadcast(1 / MathF.Sqrt(S.Sum(sum) / headDim + Epsilon));
        for (int i = 0; i < headDim; i += S.Lanes)
        {
            int count = headDim - i;
            V value = S.Multiply(Partial<S, V>.Load<Float32Storage>((byte*)head, i, count), factor);
            value = S.Multiply(value, Partial<S, V>.Load<Float32Storage>((byte*)weight, i, count));
            Partial<S, V>.Store<Float32Storage>((byte*)head, i, value, count);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Rotate(float* head, float* cosines, float* sines, int numPairs)
    {
        for (int i = 0; i < numPairs; i += S.Lanes)
        {
            int count = numPairs - i;
            V cos = Partial<S, V>.Load<Float32Storage>((byte*)cosines, i, count);
            V sin = Partial<S, V>.Load<Float32Storage>((byte*)sines, i, count);
            V first = Partial<S, V>.Load<Float32Storage>((byte*)head, i, count);
            V second = Partial<S, V>.Load<Float32Storage>((byte*)head, numPairs + i, count);
            V rotatedFirst = S.MultiplyAdd(first, cos, S.Subtract(default, S.Multiply(second, sin)));
            V rotatedSecond = S.MultiplyAdd(second, cos, S.Multiply(first, sin));
            Partial<S, V>.Store<Float32Storage>((byte*)head, i, rotatedFirst, count);
            Partial<S, V>.Store<Float32Storage>((byte*)head, numPairs + i, rotatedSecond, count);
        }
    }
}
