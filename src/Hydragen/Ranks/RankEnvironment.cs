using System.Globalization;

namespace Hydragen;

/// <summary>Which process of how many this one is, and where rank 0 can be reached, as a launcher left it in the environment. Immutable.</summary>
/// <param name="Rank">This process, 0 to <paramref name="Size"/> − 1.</param>
/// <param name="Size">Processes, 2 or more.</param>
/// <param name="LocalRank">This process among those of its host; names its GPU.</param>
/// <param name="Address">Host name or address of rank 0.</param>
/// <param name="Port">TCP port on which rank 0 waits for the others.</param>
/// <param name="Source">Who set it, for messages.</param>
public sealed record RankEnvironment(int Rank, int Size, int LocalRank, string Address, int Port, string Source)
{
    private const int FirstJobPort = 20_000, NumJobPorts = 10_000;
    private const string AddressName = "MASTER_ADDR", PortName = "MASTER_PORT", Loopback = "127.0.0.1";

    /// <summary>Where a port must be chosen by whoever starts the ranks, this one is usual.</summary>
    public const int DefaultPort = 29_500;

    /// <summary>Reads the variables of torchrun, Open MPI or Slurm (srun), in this order.</summary>
    /// <returns>Null when the process was started alone.</returns>
    /// <exception cref="ArgumentException">Variables are there but contradict each other or are no numbers; the message names them.</exception>
    public static RankEnvironment? Read() => Read(Environment.GetEnvironmentVariable);

    /// <summary>Reads the variables from elsewhere.</summary>
    /// <param name="variable">The value of a variable, or null.</param>
    /// <returns>As for <see cref="Read()"/>.</returns>
    /// <exception cref="ArgumentException">As for <see cref="Read()"/>.</exception>
    public static RankEnvironment? Read(Func<string, string?> variable)
    {
        ArgumentNullException.ThrowIfNull(variable);
        var reader = new Reader(variable);
        RankEnvironment? found = reader.Torchrun() ?? reader.OpenMpi() ?? reader.Slurm();
        if (found is null) return null;
        if (found.Size < 1 || found.Rank < 0 || found.Rank >= found.Size)
            throw new ArgumentException($"{found.Source} names rank {found.Rank} of {found.Size}; ranks run from 0 to the size less one.");
        if (found.LocalRank < 0) throw new ArgumentException($"{found.Source} names the local rank {found.LocalRank}, which is negative.");
        if (found.Port is < 1 or > 65_535) throw new ArgumentException($"{PortName} is {found.Port}; a port is from 1 to 65535.");
        return found.Size == 1 ? null : found;
    }

    /// <summary>The first host of Slurm's list, such as <c>gpu07</c> of <c>gpu[07-09,12],cpu3</c>.</summary>
    internal static string FirstHost(string hosts)
    {
        int end = hosts.AsSpan().IndexOfAny('[', ',');
        if (end < 0) return hosts;
        if (hosts[end] == ',') return hosts[..end];
        ReadOnlySpan<char> numbers = hosts.AsSpan(end + 1);
        int numberEnd = numbers.IndexOfAny('-', ',', ']');
        int close = numbers.IndexOf(']');
        if (numberEnd < 0 || close < 0) return hosts;
        ReadOnlySpan<char> tail = numbers[(close + 1)..];
        int tailEnd = tail.IndexOf(',');
        return string.Concat(hosts.AsSpan(0, end), numbers[..numberEnd], tailEnd < 0 ? tail : tail[..tailEnd]);
    }

    private sealed class Reader(Func<string, string?> variable)
    {
        public RankEnvironment? Torchrun()
        {
            if (Text("RANK") is null || Text("WORLD_SIZE") is null) return null;
            int rank = Number("RANK"), size = Number("WORLD_SIZE"), port = Port() ?? DefaultPort;

            // There torchrun's own store listens on the port itself.
            if (string.Equals(Text("TORCHELASTIC_USE_AGENT_STORE"), "True", StringComparison.OrdinalIgnoreCase)) port++;
            return new RankEnvironment(rank, size, OptionalNumber("LOCAL_RANK") ?? rank, Text(AddressName) ?? Loopback, port, "RANK/WORLD_SIZE");
        }

        public RankEnvironment? OpenMpi()
        {
            if (Text("OMPI_COMM_WORLD_SIZE") is null || Text("OMPI_COMM_WORLD_RANK") is null) return null;
            int rank = Number("OMPI_COMM_WORLD_RANK"), size = Number("OMPI_COMM_WORLD_SIZE");
            string? address = Text(AddressName);
            if (address is null && size > 1)
            {
                if ((OptionalNumber("OMPI_COMM_WORLD_LOCAL_SIZE") ?? size) != size)
                    throw new ArgumentException($"mpirun started ranks on several hosts: say where rank 0 is, as in mpirun -x {AddressName}=HOST -x {PortName}={DefaultPort}.");
                address = Loopback;
            }
            return new RankEnvironment(rank, size, OptionalNumber("OMPI_COMM_WORLD_LOCAL_RANK") ?? rank, address ?? Loopback, Port() ?? DefaultPort, "OMPI_COMM_WORLD_*");
        }

        /// <summary>Only steps of srun: the batch script of a job with several tasks is one process.</summary>
        public RankEnvironment? Slurm()
        {
            if (Text("SLURM_STEP_NUM_TASKS") is null || Text("SLURM_PROCID") is null) return null;
            int rank = Number("SLURM_PROCID"), size = Number("SLURM_STEP_NUM_TASKS");
            string? address = Text(AddressName) ?? (Text("SLURM_STEP_NODELIST") is { } hosts ? FirstHost(hosts) : null);
            int port = Port() ?? FirstJobPort + (OptionalNumber("SLURM_JOB_ID") ?? 0) % NumJobPorts;
            return new RankEnvironment(rank, size, OptionalNumber("SLURM_LOCALID") ?? rank, address ?? Loopback, port, "SLURM_*");
        }

        private int? Port() => OptionalNumber(PortName);

        private string? Text(string name) => variable(name) is { Length: > 0 } text ? text : null;

        private int? OptionalNumber(string name) => Text(name) is null ? null : Number(name);

        private int Number(string name) =>
            int.TryParse(Text(name), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) ? number
                : throw new ArgumentException($"{name} is '{Text(name)}', which is no whole number.");
    }
}
