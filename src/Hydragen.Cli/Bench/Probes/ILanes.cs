namespace Hydragen.Cli.Bench;

/// <summary>The few vector instructions of the probes, so that each probe is written once for all widths.</summary>
/// <typeparam name="TVector">A vector of FP32 lanes.</typeparam>
internal interface ILanes<TVector>
    where TVector : struct
{
    /// <summary>FP32 lanes of a vector.</summary>
    static abstract int Count { get; }

    static abstract TVector Create(float value);

    static abstract TVector Load(ref float source, nuint offset);

    static abstract TVector Add(TVector left, TVector right);

    /// <summary>left · right + addend, in one instruction where the processor has one.</summary>
    static abstract TVector MultiplyAdd(TVector left, TVector right, TVector addend);

    static abstract float Sum(TVector vector);
}
