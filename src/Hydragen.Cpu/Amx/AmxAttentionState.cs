using System.Runtime.CompilerServices;

namespace Hydragen.Cpu;

/// <summary>
/// Where the fused attention kernel finds what it works on: bytes from the start of a block's memory. Everything begins with a cache line that
/// the kernel reads or writes as one.
/// </summary>
internal static unsafe class AmxAttentionState
{
    /// <summary>Pointer to the scores of these 32 keys.</summary>
    public const int ScoresReadOffset = 0;

    /// <summary>Pointer to where the scores of the next 32 keys go.</summary>
    public const int ScoresWrittenOffset = 8;

    /// <summary>Pointer to where the weights of this unit go.</summary>
    public const int WeightsWrittenOffset = 16;

    /// <summary>Pointer to the weights of the unit before.</summary>
    public const int WeightsReadOffset = 24;

    /// <summary>Pointer to the description of this step.</summary>
    public const int StepOffset = 32;

    /// <summary>Pointer to the lane sums of all units before.</summary>
    public const int TotalsOffset = 40;

    /// <summary>Pointer to where the totals with this unit go.</summary>
    public const int OtherTotalsOffset = 48;

    /// <summary>Units to do; the kernel counts them down.</summary>
    public const int NumUnitsOffset = 56;

    /// <summary>FP32: what scores are multiplied with.</summary>
    public const int FactorOffset = 64;

    /// <summary>FP32: <see cref="PairSoftmax.LargestSum"/>.</summary>
    public const int LargestOffset = 68;

    /// <summary>FP32: <see cref="PairSoftmax.Exp2Coefficients"/>.</summary>
    public const int CoefficientsOffset = 72;

    /// <summary><see cref="PairSoftmax.Rounding"/>.</summary>
    public const int RoundingOffset = 92;

    /// <summary>Indices that pick the upper halves of two vectors.</summary>
    public const int UpperWordsOffset = 128;

    /// <summary>FP32 <c>[32]</c>.</summary>
    public const int ReferencesOffset = 192;

    /// <summary>FP32 <c>[32, 16]</c>: lane sums of this unit, zero when the kernel starts.</summary>
    public const int LanesOffset = ReferencesOffset + AmxAttentionEmitter.Rows * sizeof(float);

    /// <summary>BF16 <c>[32, headDim]</c>.</summary>
    public const int QueriesOffset = LanesOffset + AmxAttentionEmitter.LaneBytes;

    /// <summary>A field.</summary>
    public static ref T Field<T>(byte* state, int offset) => ref Unsafe.AsRef<T>(state + offset);

    /// <summary>Writes what never changes.</summary>
    public static void Initialize(byte* state)
    {
        Field<float>(state, LargestOffset) = PairSoftmax.LargestSum;
        Field<uint>(state, RoundingOffset) = PairSoftmax.Rounding;
        for (int i = 0; i < PairSoftmax.Exp2Coefficients.Length; i++) Field<float>(state, CoefficientsOffset + i * sizeof(float)) = PairSoftmax.Exp2Coefficients[i];
        for (int i = 0; i < AmxAttentionEmitter.StepKeys; i++) Field<ushort>(state, UpperWordsOffset + i * sizeof(ushort)) = (ushort)(2 * i + 1);
        new Span<byte>(state + LanesOffset, AmxAttentionEmitter.LaneBytes).Clear();
    }
}
