namespace Hydragen.Cli.Bench;

/// <summary>What this machine can do at most, measured with all threads; the best of several attempts.</summary>
/// <param name="NumLanes">FP32 lanes of the vectors used.</param>
/// <param name="FmaGflops">FP32 multiply-adds on registers, 10⁹ floating-point operations a second.</param>
/// <param name="FedFmaGflops">The same with one operand from the first-level cache; the machine-state probe.</param>
/// <param name="ReadGigabytes">10⁹ bytes a second read from memory, one stream a thread.</param>
/// <param name="StreamsReadGigabytes">The same, several streams a thread.</param>
/// <param name="BufferBytes">Memory that was read.</param>
internal sealed record Ceilings(
    int NumLanes, double FmaGflops, double FedFmaGflops, double ReadGigabytes, double StreamsReadGigabytes, long BufferBytes)
{
    /// <summary>The better of the two ways to read.</summary>
    public double BestReadGigabytes => Math.Max(ReadGigabytes, StreamsReadGigabytes);
}
