using System.Text.Json;
using Hydragen.Cli.Output;

namespace Hydragen.Cli.Bench;

/// <summary>A protocol of the generation benchmark: points that are measured one by one, each in all modes.</summary>
internal interface IGenerationProtocol : IDisposable
{
    /// <summary>Takes over what an earlier run measured.</summary>
    /// <param name="lines">Its rows.</param>
    /// <returns>The rows of finished points, also of points that are not asked for now.</returns>
    IReadOnlyList<JsonElement> Restore(IReadOnlyList<JsonElement> lines);

    /// <summary>Measures all points that no earlier run finished.</summary>
    /// <param name="output">Receives all rows, in order, or null.</param>
    /// <param name="log">Receives new rows as soon as their point is measured, or null.</param>
    /// <param name="onProgress">Receives the share of points that are done.</param>
    /// <param name="cancellationToken">Ends it between two steps; finished points stay.</param>
    void Run(JsonLines? output, JsonLines? log, Action<double> onProgress, CancellationToken cancellationToken);

    /// <summary>Whether a point is finished.</summary>
    bool HasRows { get; }

    /// <summary>The finished points as a table, with notes.</summary>
    void WriteTable(Terminal terminal);

    /// <summary>The finished points as charts.</summary>
    IReadOnlyList<LineChart> Charts();
}
