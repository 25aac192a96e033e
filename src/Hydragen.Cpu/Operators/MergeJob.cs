using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Merges the partial results of rows in FP32: the exact merge of <see cref="Core.LogSumExp"/>, on undivided parts. One filled part
/// passes unchanged; rows without any become zeros and −∞.
/// </summary>
internal abstract unsafe class MergeJob : Job
{
    /// <summary>Rows of an item.</summary>
    public const int RowsPerItem = 4;

    public AttentionWork Work = null!;
    public int FirstMergeRow;
    public int NumMergeRows;
    public int NumHeads;
    public int HeadDim;

    /// <summary>
    /// Whether what the weights are relative to are integers: then parts are scaled without rounding, and their sums are not worth
    /// carrying rounding errors along, since the weights were rounded far more.
    /// </summary>
    public bool ScalesExactly;

    public PartialResults Parts;
    public byte* Output;
    public ElementType OutputType;

    /// <summary>FP32 <c>[numRows, numHeads]</c>, or null.</summary>
    public float* LogSumExp;
}

/// <inheritdoc/>
internal sealed unsafe class MergeJob<S, V> : MergeJob
    where S : struct, ISimd<V>
    where V : struct
{
    private const float Ln2 = 0.693147180559945309f;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(int item, int worker)
    {
        int end = Math.Min(NumMergeRows, (item + 1) * RowsPerItem);
        for (int i = item * RowsPerItem; i < end; i++)
        {
            int row = Work.MergeRows[FirstMergeRow + i];
            for (int head = 0; head < NumHeads; head++)
            {
                switch (OutputType)
                {
                    case ElementType.Float32: Merge<Float32Storage>(row, head); break;
                    case ElementType.BFloat16: Merge<BFloat16Storage>(row, head); break;
                    default: Merge<Float16Storage>(row, head); break;
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Merge<T>(int row, int head)
        where T : struct, IStorage
    {
        int numParts = Work.PartsOf(row);
        nint rowHead = (nint)row * NumHeads + head;
        nint firstSlot = numParts == 0 ? 0 : Work.FirstSlotOf(row) + (nint)head * numParts;
        float* max = Parts.MaxBase2 + firstSlot, weights = Parts.Weights + firstSlot;
        float largest = float.NegativeInfinity;
        int numFilled = 0, lastFilled = 0;
        for (int part = 0; part < numParts; part++)
        {
            if (weights[part] == 0) continue;
            largest = MathF.Max(largest, max[part]);
            numFilled++;
            lastFilled = part;
        }
        if (numFilled == 1)
        {
            firstSlot += lastFilled;
            max += lastFilled;
            weights += lastFilled;
            numParts = 1;
        }
        ScaleToLargest(max, numParts, largest);
        double weight = 0;
        for (int part = 0; part < numParts; part++) weight += (double)max[part] * weights[part];
        if (LogSumExp != null) LogSumExp[rowHead] = numFilled == 0 ? float.NegativeInfinity : largest * Ln2 + MathF.Log((float)weight);

        byte* sums = (byte*)(Parts.Sums + firstSlot * HeadDim);
        V divisor = S.Broadcast((float)weight), divisorRest = S.Broadcast((float)(weight - (float)weight));
        for (int i = 0; i < HeadDim; i += S.Lanes)
        {
            int count = HeadDim - i;
            V value = default;
            if (numFilled == 1) value = S.Divide(Partial<S, V>.Load<Float32Storage>(sums, i, count), divisor);
            else if (numFilled > 1) value = ScalesExactly ? Mean(sums + i * sizeof(float), count, max, numParts, divisor) : WeightedMean(sums + i * sizeof(float), count, max, numParts, divisor, divisorRest);
            Partial<S, V>.Store<T>(Output, rowHead * HeadDim + i, value, count);
        }
    }

    /// <summary>
    /// Σ factor · sum / weight with the rounding errors of products, additions and division carried along and added at the end, so
    /// that cutting a row into parts costs no accuracy.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private V WeightedMean(byte* sums, int count, float* factors, int numParts, V divisor, V divisorRest)
    {
        V total = default, rest = default;
        for (int part = 0; part < numParts; part++)
        {
            V factor = S.Broadcast(factors[part]);
            V sum = Partial<S, V>.Load<Float32Storage>(sums, (nint)part * HeadDim, count);
            V product = S.Multiply(factor, sum);
            V productRest = S.MultiplyAdd(factor, sum, S.Subtract(default, product));
            V newTotal = S.Add(total, product);
            V added = S.Subtract(newTotal, total);
            V additionRest = S.Add(S.Subtract(total, S.Subtract(newTotal, added)), S.Subtract(product, added));
            total = newTotal;
            rest = S.Add(rest, S.Add(productRest, additionRest));
        }
        V quotient = S.Divide(total, divisor);
        V negated = S.Subtract(default, quotient);
        rest = S.MultiplyAdd(negated, divisorRest, S.Add(S.MultiplyAdd(negated, divisor, total), rest));
        return S.Add(quotient, S.Divide(rest, divisor));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private V Mean(byte* sums, int count, float* factors, int numParts, V divisor)
    {
        V total = default;
        for (int part = 0; part < numParts; part++)
            total = S.MultiplyAdd(S.Broadcast(factors[part]), Partial<S, V>.Load<Float32Storage>(sums, (nint)part * HeadDim, count), total);
        return S.Divide(total, divisor);
    }

    /// <summary>Turns maxima into the factors 2^(max − largest).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ScaleToLargest(float* max, int numParts, float largest)
    {
        for (int i = 0; i < numParts; i += S.Lanes)
        {
            V difference = S.Subtract(Partial<S, V>.Load<Float32Storage>((byte*)max, i, numParts - i), S.Broadcast(largest));
            Partial<S, V>.Store<Float32Storage>((byte*)max, i, SimdMath<S, V>.Exp2(difference), numParts - i);
        }
    }
}
