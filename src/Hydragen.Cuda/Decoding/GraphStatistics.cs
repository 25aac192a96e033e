namespace Hydragen.Cuda;

/// <summary>What steps of decoding did on a GPU since they were counted from zero.</summary>
/// <param name="NumSteps">Steps.</param>
/// <param name="NumCaptures">CUDA graphs that were captured.</param>
/// <param name="NumReplays">Steps that were replays of a graph; the others were launched kernel by kernel.</param>
/// <param name="BusySeconds">From the start of each step to its end on the device's clock, added up; uploads before it do not count.</param>
/// <param name="IdleSeconds">From the end of a step to the start of the next one behind it, added up.</param>
internal sealed record GraphStatistics(long NumSteps, long NumCaptures, long NumReplays, double BusySeconds, double IdleSeconds)
{
    /// <summary>The share of the time in which the device has work, 0 without steps.</summary>
    public double BusyShare => BusySeconds > 0 ? BusySeconds / (BusySeconds + IdleSeconds) : 0;
}
