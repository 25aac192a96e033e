using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Merges the partial results of rows by log-sum-exp in FP32, as <see cref="Core.LogSumExp"/> defines it; rows without any become zeros and −∞.</summary>
internal abstract unsafe class MergeJob : Job
{
    /// <summary>Rows of an item.</summary>
    public const int RowsPerItem = 4;

    public AttentionWork Work = null!;
    public int FirstMergeRow;
    public int NumMergeRows;
    public int NumHeads;
    public int HeadDim;

    /// <summary>FP32 <c>[numSlots, headDim]</c>.</summary>
    public float* PartOutputs;

    /// <summary>FP32 <c>[numSlots]</c>; overwritten.</summary>
    public float* PartLogSumExps;
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
        nint firstSlot = Work.FirstSlotOf(row) + head;
        float* logSumExps = PartLogSumExps + firstSlot;
        float max = float.NegativeInfinity, sum = 0;
        int numFilled = 0, lastFilled = 0;
        for (int part = 0; part < numParts; part++)
        {
            float value = logSumExps[(nint)part * NumHeads];
            if (float.IsNegativeInfinity(value)) continue;
            max = MathF.Max(max, value);
            numFilled++;
            lastFilled = part;
        }
        float logSumExp = max;
        if (numFilled > 1)
        {
            for (int part = 0; part < numParts; part++)
            {
                float weight = MathF.Exp(logSumExps[(nint)part * NumHeads] - max);
                logSumExps[(nint)part * NumHeads] = weight;
                sum += weight;
            }
            logSumExp = max + MathF.Log(sum);
        }
        nint rowHead = (nint)row * NumHeads + head;
        if (LogSumExp != null) LogSumExp[rowHead] = logSumExp;
        byte* parts = (byte*)(PartOutputs + firstSlot * HeadDim);
        nint stride = (nint)NumHeads * HeadDim;
        V divisor = S.Broadcast(sum);
        for (int i = 0; i < HeadDim; i += S.Lanes)
        {
            int count = HeadDim - i;
            V value = default;
            if (numFilled == 1) value = Partial<S, V>.Load<Float32Storage>(parts, lastFilled * stride + i, count);
            if (numFilled > 1)
            {
                for (int part = 0; part < numParts; part++)
                {
                    float weight = logSumExps[(nint)part * NumHeads];
                    if (weight == 0) continue;
                    value = S.MultiplyAdd(S.Broadcast(weight), Partial<S, V>.Load<Float32Storage>(parts, part * stride + i, count), value);
                }
                value = S.Divide(value, divisor);
            }
            Partial<S, V>.Store<T>(Output, rowHead * HeadDim + i, value, count);
        }
    }
}
